"""Checkpoints: written at ends of epochs, read back by the same run only."""

import time
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from expressway.data.clips import ClipDataset
from expressway.data.specs import TrainSpec
from expressway.provenance import digest
from expressway.store import atomic_path
from expressway.training.loop import Loop
from expressway.training.progress import write_log

KEPT_CHECKPOINTS = 2


class Keeper(Checkpoint):
    """Writes checkpoints and ``log.csv`` at ends of epochs, and tells how far training is.

    A ``Checkpoint``, since Lightning calls those after the loop's own end of an epoch.
    """

    def __init__(self, state: Path, seconds: float) -> None:
        self.state, self.seconds = state, seconds
        self._saved = self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the state if enough time has passed, or the last epoch is done."""
        done, last = trainer.current_epoch + 1, int(trainer.max_epochs or 0)
        if done == last or time.monotonic() - self._saved >= self.seconds:
            self._save(trainer, done)
        if done == last or done % max(1, last // 10) == 0:
            self._tell(trainer, done, last)

    def _save(self, trainer: Trainer, done: int) -> None:
        with atomic_path(self.state / f"epoch-{done:05d}.ckpt") as temporary:
            trainer.save_checkpoint(temporary)
        self._saved = time.monotonic()
        for old in checkpoints(self.state)[KEPT_CHECKPOINTS:]:
            old.unlink()

    def _tell(self, trainer: Trainer, done: int, last: int) -> None:
        loop = trainer.lightning_module
        assert isinstance(loop, Loop)
        write_log(self.state / "log.csv", loop.history)
        terms = {k: v for k, v in loop.history[-1].items() if k not in ("epoch", "learning_rate")}
        losses = ", ".join(f"{name} {value:.4f}" for name, value in terms.items())
        spent = time.monotonic() - self._started
        print(f"epoch {done}/{last}: {losses}, {spent:.1f} s", flush=True)


def checkpoints(state: Path) -> list[Path]:
    """Return the checkpoints of a run, newest first."""
    return sorted(state.glob("epoch-*.ckpt"), reverse=True)


def resumable(state: Path, identity: str) -> Path | None:
    """Return the newest readable checkpoint of the same run; unreadable ones are told."""
    for path in checkpoints(state):
        try:
            kept = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            print(f"{path}: damaged, using the one before ({type(error).__name__})", flush=True)
            continue
        if kept.get("expressway", {}).get("identity") == identity:
            return path
        print(f"{path}: from another recipe or other data, not used", flush=True)
    return None


def identity(spec: TrainSpec, data: ClipDataset) -> str:
    """Identify a run: what would change its weights."""
    facts = {
        "recipe": spec.recipe,
        "clips": [clip.id for clip in data.clips],
        "classes": data.labels,
        "labels": spec.labels,
        "prompts": spec.prompts,
        "protocol": spec.protocol,
        "seed": spec.seed,
        "backbone": spec.backbone,
        "stores": {n.stage: data.stores.footer(n.stage) for n in data.stores.needs},
        "fingerprint": spec.fingerprint,
    }
    return digest(facts)
