"""The training loop as Lightning runs it."""

import time
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, distributed

from expressway.core.errors import ExpresswayError
from expressway.data.clips import Batch
from expressway.data.sampling import torch_seed
from expressway.methods.base import Method
from expressway.models.training.selection import Selection
from expressway.models.training.steps import Steps


class Loop(LightningModule):
    """Lightning's view of a method: its loss, its optimiser, and the step size over time.

    Attributes:
        history: per epoch the mean loss terms, the step size, and the recall on validation clips.
        times: per epoch the seconds spent waiting for clips and computing. They are no part of
            ``history``, which two runs with the same identity share to the bit.
    """

    def __init__(
        self,
        method: Method[Any],
        seed: int,
        identity: str,
        steps: Steps,
        selection: Selection | None = None,
    ) -> None:
        super().__init__()
        self.method, self.seed, self.identity = method, seed, identity
        self.steps, self.selection = steps, selection
        self.history: list[dict[str, float]] = []
        self.times: list[dict[str, float]] = []
        self._sums: dict[str, Tensor] = {}
        self._waited = self._computed = 0.0
        self._first = True
        self._step = 0
        self._clips: tuple[str, ...] = ()  # of this step, in this process
        self._clock = time.monotonic()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the method's optimiser; the step size is set before each step instead."""
        return self.method.optimiser()

    def on_train_start(self) -> None:
        """Start the clock of the first epoch, or of what is left of it."""
        self._clock = time.monotonic()

    def on_train_epoch_start(self) -> None:
        """Forget the sums of the epoch before."""
        self._sums = {}
        self._waited = self._computed = 0.0

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Tie dropout to (seed, epoch, batch, process); set the step size of this moment."""
        self._waited += self._lap()
        self._first = True
        self._step, part = divmod(batch_idx, self.steps.accumulate)
        self._clips = (*(self._clips if part else ()), *batch.ids)
        mine = f"step {batch_idx}" + (f" of {self.global_rank}" if self.global_rank else "")
        torch.manual_seed(torch_seed(self.seed, mine, self.current_epoch))
        moment = self.current_epoch + self._step / self.steps.count
        for optimiser in self.trainer.optimizers:
            for group in optimiser.param_groups:
                start = group.setdefault("initial_lr", group["lr"])
                group["lr"] = start * self.method.recipe.rate(moment)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the summed loss terms.

        Raises:
            ExpresswayError: the loss is not finite; names the clips of the step.
        """
        terms = self.method.loss(batch)
        total = torch.stack(list(terms.values())).sum()
        self._check("loss", total.detach())
        for name, value in terms.items() if self._first else ():
            before = self._sums.get(name, torch.zeros_like(total))
            self._sums[name] = before.to(total) + value.detach()
        self._first = False  # a line search asks again within the same step
        return total

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Look at the gradient before it is used: one step with it would spoil every weight.

        Raises:
            ExpresswayError: it is not finite; names the clips of the step.
        """
        gradients = [p.grad for p in self.method.parameters() if p.grad is not None]
        largest = torch.nn.utils.get_total_norm(gradients, torch.inf)
        self._check("gradient", largest)

    def _check(self, what: str, value: Tensor) -> None:
        if torch.isfinite(value):
            return
        shown = ", ".join(self._clips[:10])
        raise ExpresswayError(
            f"the {what} is {float(value)} in epoch {self.current_epoch + 1}, "
            f"step {self._step + 1} (clips {shown}, …); "
            "lower learning_rate or look at these clips' features. "
            "Nothing of this step was saved: checkpoints are from before it"
        )

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Take the time of a step."""
        self._computed += self._lap()

    def _lap(self) -> float:
        """Return the seconds since the last call."""
        before, self._clock = self._clock, time.monotonic()
        return self._clock - before

    def on_train_epoch_end(self) -> None:
        """Note the epoch's mean loss terms, its step size, its times, and judge its weights."""
        means = self._means()
        rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        row = {"epoch": self.current_epoch + 1, **means, "learning_rate": rate}
        if self.selection:
            row["validation_recall"] = self.selection.judge(self.method, self.current_epoch + 1)
        self.history.append(row)
        seconds = {"data_seconds": self._waited, "step_seconds": self._computed}
        clips = self.steps.clips / max(1e-9, self._waited + self._computed)
        self.times.append({**seconds, "clips_per_second": clips})
        self._lap()

    def _means(self) -> dict[str, float]:
        """Return the mean of each loss term over the batches of all processes."""
        if not self._sums:
            return {}
        summed = torch.stack(list(self._sums.values()))
        if self.steps.world > 1:
            distributed.all_reduce(summed)
        means = (summed / (self.steps.batches * self.steps.world)).tolist()
        return dict(zip(self._sums, means, strict=True))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a resume must know."""
        checkpoint["expressway"] = {
            "identity": self.identity,
            "history": self.history,
            "times": self.times,
            "sums": self._sums,
            "spent": [self._waited, self._computed],
            "best": self.selection.best if self.selection else None,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the history over."""
        kept = checkpoint["expressway"]
        self.history, self.times = list(kept["history"]), list(kept["times"])
        self._sums = dict(kept["sums"])
        self._waited, self._computed = kept["spent"]
        if self.selection:
            self.selection.best = kept["best"]
