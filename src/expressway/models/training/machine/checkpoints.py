"""Checkpoints: written between two steps, read back by the same run only.

Written after an epoch or, when enough time has passed or SIGTERM came, in the middle of one. What
a run draws is a function of (seed, epoch, clip), so that a resumed epoch only skips the clips
that it has had.
"""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import distributed

from expressway.core.files import atomic_path
from expressway.core.fingerprints import digest
from expressway.core.specs import TrainSpec
from expressway.data.clips import ClipDataset
from expressway.models.training.loop import Loop
from expressway.models.training.machine.distributed import sigterm_handler
from expressway.models.training.machine.progress import Progress

KEPT_CHECKPOINTS = 2


class Keeper(Checkpoint):
    """Writes checkpoints, and stops a run that got SIGTERM once its state is on disk.

    A ``Checkpoint``, since Lightning calls those after the loop's own end of an epoch.
    """

    def __init__(self, state: Path, seconds: float, progress: Progress | None) -> None:
        self.state, self.seconds, self.progress = state, seconds, progress
        self._saved = time.monotonic()
        self._terminated = False
        self._handler = ExitStack()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take SIGTERM over: Lightning's handler calls a collective in the middle of a step."""
        self._handler.enter_context(sigterm_handler(self._terminate))

    def _terminate(self, number: int, frame: Any) -> None:
        self._terminated = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the state after a step in the middle of an epoch, if it is time to."""
        loop = trainer.lightning_module
        assert isinstance(loop, Loop)
        if loop.steps.ends_with(batch_idx) and batch_idx + 1 < loop.steps.batches:
            due, stop = self._agreed(trainer)
            if due or stop:
                self._save(trainer, trainer.current_epoch, batch_idx + 1)
            if stop:
                raise SIGTERMException

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the state if it is time to, or the last epoch is done; tell how far it is."""
        done = trainer.current_epoch + 1
        due, stop = self._agreed(trainer)
        if due or stop or done == trainer.max_epochs:
            self._save(trainer, done, 0)
        if self.progress:
            self.progress.tell(trainer)
        if stop and done != trainer.max_epochs:
            raise SIGTERMException

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give SIGTERM back before Lightning does, or its handler stays, and the run with it."""
        self._handler.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Give SIGTERM back."""
        self._handler.close()

    def _agreed(self, trainer: Trainer) -> tuple[bool, bool]:
        """Return whether a checkpoint is due and whether to stop: the same in all processes."""
        due = time.monotonic() - self._saved >= self.seconds
        stop = self._terminated or trainer.received_sigterm
        if trainer.world_size == 1:
            return due, stop
        flags = torch.tensor([due, stop], dtype=torch.int32, device=trainer.strategy.root_device)
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        due, stop = (bool(flag) for flag in flags.tolist())
        return due, stop

    def _save(self, trainer: Trainer, epoch: int, batch: int) -> None:
        """Write the state after ``batch`` micro batches of an epoch; all processes take part."""
        path = self.state / f"epoch-{epoch:05d}-{batch:07d}.ckpt"
        if trainer.is_global_zero:
            with atomic_path(path) as temporary:
                trainer.save_checkpoint(temporary)
            for old in checkpoints(self.state)[KEPT_CHECKPOINTS:]:
                old.unlink()
        else:
            trainer.save_checkpoint(path)
        # srun kills the others as soon as one has left, and the first may still be renaming
        trainer.strategy.barrier()
        self._saved = time.monotonic()


@dataclass(frozen=True)
class Kept:
    """A checkpoint to go on from: after ``batch`` micro batches of ``epoch`` (from 0)."""

    path: Path
    epoch: int
    batch: int


def checkpoints(state: Path) -> list[Path]:
    """Return the checkpoints of a run, newest first."""
    return sorted(state.glob("epoch-*.ckpt"), reverse=True)


def resumable(state: Path, identity: str) -> Kept | None:
    """Return the newest readable checkpoint of the same run; unreadable ones are told."""
    for path in checkpoints(state):
        try:
            kept = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            print(f"{path}: damaged, using the one before ({type(error).__name__})", flush=True)
            continue
        if kept.get("expressway", {}).get("identity") == identity:
            epoch, batch = path.stem.split("-")[1:]
            return Kept(path, int(epoch), int(batch))
        print(f"{path}: from another recipe or other data, not used", flush=True)
    return None


def identity(spec: TrainSpec, data: ClipDataset, source: Mapping[str, str]) -> str:
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
        "start": source,
    }
    return digest(facts)
