"""Compare two results on the same clips."""

from pathlib import Path
from typing import Annotated

import typer

from expressway.commands._options import CONFIG, ConfigOption, load_plan
from expressway.planning.outputs import Outputs
from expressway.planning.plan import Plan
from expressway.planning.records import note


def command(
    a: Annotated[str, typer.Argument(help="model/evaluation")],
    b: Annotated[str, typer.Argument(help="model/evaluation")],
    config: ConfigOption = CONFIG,
) -> None:
    """Compare two results on the same clips: paired bootstrap of the difference."""
    print(compare(load_plan(config), a, b))


def compare(plan: Plan, a: str, b: str) -> Path:
    """Write the paired comparison of two results; return the file."""
    from expressway.models.evaluation import kinds

    (model, evaluation), (other, another) = a.split("/"), b.split("/")
    outputs = Outputs(plan)
    output = outputs.comparison(model, evaluation, other, another)
    made_of = outputs.record(output)
    sides = [
        [Path(folder) / "predictions.parquet" for folder in plan.evaluations.folders(*side)]
        for side in ((model, evaluation), (other, another))
    ]
    kinds.compare(sides[0], sides[1], Path(output.path))
    note(output.path, made_of)
    return Path(output.path)
