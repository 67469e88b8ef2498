"""Train one model on one split with one seed."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from expressway.commands._options import CONFIG, ConfigOption, load_plan
from expressway.core.errors import ConfigError
from expressway.core.fast_imports import uncollected
from expressway.planning import paths
from expressway.planning.outputs import Outputs
from expressway.planning.plan import Plan
from expressway.planning.specs import train_spec


def command(
    model: Annotated[str, typer.Argument(help="a model of the configuration")],
    split: Annotated[str, typer.Option(help="split of its scheme")] = "all",
    seed: Annotated[int, typer.Option(help="training seed")] = 0,
    gpus: Annotated[int, typer.Option(help="cards to train on together; 0: the CPU")] = 0,
    cores: Annotated[int, typer.Option(help="threads")] = 1,
    processes: Annotated[int, typer.Option(help="processes on the CPU")] = 1,
    nodes: Annotated[int, typer.Option(help="machines; start with srun or torchrun")] = 1,
    precision: Annotated[
        Literal["32-true", "bf16-mixed"], typer.Option(help="of the arithmetic; weights are fp32")
    ] = "32-true",
    workers: Annotated[
        int | None, typer.Option(help="processes that read clips; default: from cores")
    ] = None,
    config: ConfigOption = CONFIG,
) -> None:
    """Train one model on one split with one seed; an interrupted training goes on."""
    machine = (gpus, cores, processes, nodes, precision, workers)
    print(train(load_plan(config), model, split, seed, *machine))


def train(
    plan: Plan,
    model: str,
    split: str,
    seed: int,
    gpus: int,
    cores: int,
    processes: int = 1,
    nodes: int = 1,
    precision: str = "32-true",
    workers: int | None = None,
) -> Path:
    """Train one model on one split with one seed; return its folder.

    Args:
        gpus: cards of each machine, one process each; 0: ``processes`` on the CPU.
        nodes: machines, on each of which srun or torchrun started the processes.
        workers: of each process, for reading clips; None: what the cores leave over.

    Raises:
        ConfigError: the model has no such split, or stores are missing that it reads.
    """
    with uncollected():
        from expressway.models import training

    spec = train_spec(plan, model, split, seed)
    _check_there(plan, model, split, seed)
    out = Path(paths.model(model, split, seed))
    state = Path(paths.training_state(model, split, seed))
    with training.claimed(gpus) as cards:
        return training.train(
            spec,
            out,
            state,
            device=cards or ["cpu"] * processes,
            threads=cores,
            precision=precision,
            workers=workers,
            nodes=nodes,
        )


def _check_there(plan: Plan, model: str, split: str, seed: int) -> None:
    """Refuse to train before what the run reads is there."""
    inputs = Outputs(plan).model(model, split, seed).inputs()
    files = [above.path for above in inputs if above.rule != "coverage"]
    missing = [file for file in files if not Path(file).exists()]
    if missing:
        raise ConfigError(
            f"{model} on {split}: {len(missing)} of {len(files)} files that it reads are missing "
            f"({missing[0]}, …); make them, and train, with: snakemake --cores all "
            f"{paths.card(model, split, seed)}"
        )
