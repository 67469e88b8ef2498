"""Count what a store lost and why."""

from pathlib import Path
from typing import Annotated

import typer

from expressway.commands._options import CONFIG, ConfigOption, load_plan
from expressway.core import coverage
from expressway.planning import paths
from expressway.planning.outputs import Outputs
from expressway.planning.plan import Plan
from expressway.planning.records import note


def command(
    name: Annotated[str, typer.Argument(help="stage")],
    dataset: Annotated[str, typer.Option(help="data set")],
    variant: Annotated[str, typer.Option(help="variant of the stage")],
    config: ConfigOption = CONFIG,
) -> None:
    """Count what a store lost and why; fail when it is more than the data set allows."""
    print(cover(load_plan(config), dataset, name, variant))


def cover(plan: Plan, dataset: str, stage: str, variant: str) -> str:
    """Write a store's coverage; return a line that says what was found."""
    outputs = Outputs(plan)
    output = outputs.coverage(dataset, stage, variant)
    allowed = plan.dataset(dataset).config.max_failed_fraction
    key = f"max_failed_fraction in {plan.settings.dataset_folder}/{dataset}.yaml"
    shards = [Path(path) for path in plan.stores.paths(dataset, stage, variant)]
    made_of = outputs.record(output)
    found = coverage.write(
        shards, Path(output.path), allowed, key, paths.store(dataset, stage, variant)
    )
    note(output.path, made_of)
    return f"{output.path}: {found['usable']} of {found['clips']} clips usable"
