"""Expressway."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from expressway.models.prediction.predictor import Predictor


def load(
    run: Path | str,
    labels: Sequence[str] = (),
    prompts: Mapping[str, tuple[str, ...]] | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> "Predictor":
    """Return a trained model with everything above it: ``load(RUN).predict("clip.mp4")``.

    Args:
        run: a folder with ``model.json``: ``results/models/{model}/{split}-seed{seed}``.
        labels: classes to choose from; by default the model's own.
        prompts: class -> its texts; by default the model's own.
        device: ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        ConfigError: no model there, or classes, texts and method do not fit together.
    """
    from expressway.models.prediction.predictor import Predictor

    return Predictor(Path(run), labels, prompts, device, threads)
