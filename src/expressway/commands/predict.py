"""Say what a trained model sees in one file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from expressway.commands._options import CONFIG, ConfigOption
from expressway.core.model_card import ModelCard
from expressway.core.specs import Prompts
from expressway.language import prompts as prompt_sets
from expressway.planning import settings


def command(
    file: Annotated[Path, typer.Argument(help="a video, an image, or a folder of frames")],
    model: Annotated[Path, typer.Option(help="run: results/models/MODEL/SPLIT-seedSEED")],
    as_json: Annotated[bool, typer.Option("--json", help="print everything as JSON")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="PNG to write: film strip, classes over time")
    ] = None,
    labels: Annotated[
        str, typer.Option(help="classes to choose from: a,b,c; default: the model's own")
    ] = "",
    prompts: Annotated[
        str | None, typer.Option(help="class prompt set; default: the model's own texts")
    ] = None,
    window: Annotated[
        float | None, typer.Option(help="seconds of a window; default: the model's own length")
    ] = None,
    step: Annotated[
        float | None, typer.Option(help="seconds from window to window; default: --window")
    ] = None,
    gpus: Annotated[int, typer.Option(help="cards to use; 0: the CPU")] = 0,
    cores: Annotated[int, typer.Option(help="threads")] = 1,
    config: ConfigOption = CONFIG,
) -> None:
    """Say what a trained model sees in one file; exit status 1 where there is nothing to see."""
    import json

    from expressway.models.prediction import predictor

    names = tuple(name.strip() for name in labels.split(",") if name.strip())
    texts = prompt_set(config, prompts, model, names) if prompts else None
    found = predictor.predict(model, file, names, texts, window, step, gpus, cores)
    print(json.dumps(found.facts(), ensure_ascii=False, indent=1) if as_json else found.text())
    if picture is not None:
        found.picture(picture)
    if not found.scores:
        raise typer.Exit(1)


def prompt_set(config: Path, name: str, run: Path, labels: Sequence[str]) -> Prompts:
    """Return class -> texts of a prompt set of the configuration.

    Raises:
        ConfigError: there is no such set, or it lacks a class.
    """
    chosen = tuple(labels) or ModelCard.read(run).labels
    return prompt_sets.class_texts(Path(settings.load(config).prompts), name, chosen)
