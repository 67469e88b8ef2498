"""Progress of a training run: log lines, a bar on a terminal, ``log.csv``."""

import csv
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

from expressway.core.files import atomic_path
from expressway.core.specs import TrainSpec
from expressway.methods.base import Method
from expressway.models.training.loop import Loop
from expressway.models.training.machine.publishing import count
from expressway.models.training.machine.runtime import Runtime
from expressway.models.training.steps import Steps

LINES = 10


def told(method: Method[Any], spec: TrainSpec, clips: int, steps: Steps, runtime: Runtime) -> str:
    """Return the line that opens a run: what is trained, on what, with how much."""
    trainable = count(p for p in method.parameters() if p.requires_grad)
    return (
        f"training {spec.model} ({method.name}, {spec.split}, seed {spec.seed}) on "
        f"{_devices(runtime)}, {runtime.threads} threads, {runtime.precision}: {clips} clips, "
        f"{steps.count} steps of {_shares(steps)} an epoch, "
        f"{trainable:,} trained parameters, {method.recipe.epochs} epochs"
    )


def _devices(runtime: Runtime) -> str:
    names = [
        f"{name} ({torch.cuda.get_device_name(name)})" if runtime.on_gpu else name
        for name in runtime.devices
    ]
    shown = ", ".join(names) if runtime.on_gpu or len(names) == 1 else f"{len(names)} x {names[0]}"
    return shown + (f" on each of {runtime.nodes} nodes" if runtime.nodes > 1 else "")


def _shares(steps: Steps) -> str:
    if steps.micro == steps.size:
        return f"{steps.size} clips"
    return (
        f"{steps.size} clips ({steps.world} processes x {steps.accumulate} micro batches "
        f"x {steps.micro})"
    )


class Progress(Callback):
    """Prints a line for every tenth of the epochs; on a terminal also draws a bar.

    The bar shows loss, clips per second and the time that is left.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._started = time.monotonic()
        self._bar: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar at the clips that an earlier run has had."""
        steps, epochs = _loop(trainer).steps, int(trainer.max_epochs or 0)
        self._bar = tqdm(
            total=epochs * steps.clips,
            initial=trainer.current_epoch * steps.clips,
            unit=" clips",
            disable=not sys.stderr.isatty(),
            leave=False,
            dynamic_ncols=True,
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar on."""
        if not self._bar.disable:
            steps = _loop(trainer).steps
            self._bar.update(steps.micro * steps.world)
            self._bar.set_postfix(loss=f"{float(outputs['loss']) * steps.accumulate:.4f}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar away."""
        self._bar.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Take the bar away, so that the error stands alone."""
        if self._bar is not None:
            self._bar.close()

    def tell(self, trainer: Trainer) -> None:
        """Write ``log.csv`` and, for every tenth of the epochs, a line."""
        loop, last = _loop(trainer), int(trainer.max_epochs or 0)
        done = len(loop.history)
        if done != last and done % max(1, last // LINES):
            return
        write_log(self.path, loop.history, loop.times)
        spent = time.monotonic() - self._started
        line = f"epoch {done}/{last}: {_losses(loop.history[-1])}, {_speed(loop.times[-1])}"
        with tqdm.external_write_mode(file=sys.stdout):
            print(f"{line}, {spent:.1f} s", flush=True)


def _loop(trainer: Trainer) -> Loop:
    loop = trainer.lightning_module
    assert isinstance(loop, Loop)
    return loop


def _losses(row: Mapping[str, float]) -> str:
    named = {k.replace("_", " "): v for k, v in row.items() if k not in ("epoch", "learning_rate")}
    return ", ".join(f"{name} {value:.4f}" for name, value in named.items())


def _speed(times: Mapping[str, float]) -> str:
    spent = max(1e-9, times["data_seconds"] + times["step_seconds"])
    waiting = times["data_seconds"] / spent
    return f"{times['clips_per_second']:.0f} clips/s, {waiting:.0%} of the time waiting for clips"


def write_log(path: Path, history: list[dict[str, float]], times: list[dict[str, float]]) -> None:
    """Write one row per epoch: loss terms, step size, and where the time went."""
    rows = [{**row, **spent} for row, spent in zip(history, times, strict=True)]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
