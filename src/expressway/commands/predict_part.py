"""Write a trained model's predictions for the test clips of an evaluation."""

from pathlib import Path
from typing import Annotated

import typer

from expressway.commands._options import CONFIG, ConfigOption, load_plan
from expressway.core import devices
from expressway.core.fast_imports import uncollected
from expressway.planning import paths
from expressway.planning.plan import Plan
from expressway.planning.specs import predict_spec


def command(
    model: Annotated[str, typer.Argument(help="a model of the configuration")],
    evaluation: Annotated[str, typer.Argument(help="an evaluation of the configuration")],
    split: Annotated[str, typer.Option(help="split that the model was trained on")] = "all",
    seed: Annotated[int, typer.Option(help="training seed")] = 0,
    gpus: Annotated[int, typer.Option(help="cards to use; 0: the CPU")] = 0,
    cores: Annotated[int, typer.Option(help="threads")] = 1,
    config: ConfigOption = CONFIG,
) -> None:
    """Write a trained model's predictions for the test clips of an evaluation."""
    print(predict(load_plan(config), model, evaluation, split, seed, gpus, cores))


def predict(
    plan: Plan, model: str, evaluation: str, split: str, seed: int, gpus: int, cores: int
) -> Path:
    """Write a model's predictions for the test clips of an evaluation; return the file."""
    with uncollected():
        from expressway.models.prediction import scores

    spec = predict_spec(plan, model, evaluation, split, seed)
    out = Path(paths.predictions(model, split, seed, evaluation))
    folder = Path(paths.model(model, split, seed))
    with devices.claim(gpus) as device:
        return scores.predict(folder, spec, out, device=device, threads=cores)
