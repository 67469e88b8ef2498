"""What a run tells: a line at the start, a line per epoch, and ``log.csv``."""

import csv
from pathlib import Path
from typing import Any

import torch

from expressway.data.clips import ClipDataset
from expressway.data.specs import TrainSpec
from expressway.methods.base import Method
from expressway.store import atomic_path
from expressway.training.runtime import Runtime


def told(method: Method[Any], spec: TrainSpec, data: ClipDataset, runtime: Runtime) -> str:
    """Return the line that opens a run: what is trained, on what, with how much."""
    trainable = count(p for p in method.parameters() if p.requires_grad)
    name = runtime.device
    if name.startswith("cuda"):
        name += f" ({torch.cuda.get_device_name(name)})"
    return (
        f"training {spec.model} ({method.name}, {spec.split}, seed {spec.seed}) on {name}, "
        f"{runtime.threads} threads, {runtime.precision}: {len(data)} clips, "
        f"{trainable:,} trained parameters, {method.recipe.epochs} epochs"
    )


def count(parameters: Any) -> int:
    """Return the number of numbers in parameters."""
    return sum(parameter.numel() for parameter in parameters)


def write_log(path: Path, history: list[dict[str, float]]) -> None:
    """Write one row per epoch."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)
