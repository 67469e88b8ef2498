"""Turn predictions into metrics with intervals."""

from pathlib import Path
from typing import Annotated

import typer

from expressway.commands._options import CONFIG, ConfigOption, load_plan
from expressway.planning import paths
from expressway.planning.outputs import Outputs
from expressway.planning.plan import Plan
from expressway.planning.records import note


def command(
    model: Annotated[str, typer.Argument(help="a model of the configuration")],
    evaluation: Annotated[str, typer.Argument(help="an evaluation of the configuration")],
    split: Annotated[str, typer.Option(help="split that the model was trained on")] = "all",
    seed: Annotated[int, typer.Option(help="training seed")] = 0,
    config: ConfigOption = CONFIG,
) -> None:
    """Turn predictions into metrics with intervals (no torch needed)."""
    print(evaluate(load_plan(config), model, evaluation, split, seed))


def evaluate(plan: Plan, model: str, evaluation: str, split: str, seed: int) -> Path:
    """Write the metrics of one prediction table; return the file."""
    from expressway.models.evaluation import kinds

    plan.configuration.evaluation(evaluation)
    outputs = Outputs(plan)
    output = outputs.metrics(model, split, seed, evaluation)
    made_of = outputs.record(output)
    scores = Path(paths.predictions(model, split, seed, evaluation))
    kinds.evaluate(scores, Path(output.path))
    note(output.path, made_of)
    return Path(output.path)
