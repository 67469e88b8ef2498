"""The training loop as Lightning runs it."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from expressway.data.clips import Batch
from expressway.data.samplers import torch_seed
from expressway.errors import ExpresswayError
from expressway.methods.base import Method


class Loop(LightningModule):
    """Lightning's view of a method: its loss, its optimiser, and the step size over time."""

    def __init__(self, method: Method[Any], seed: int, identity: str) -> None:
        super().__init__()
        self.method, self.seed, self.identity = method, seed, identity
        self.history: list[dict[str, float]] = []
        self._sums: dict[str, Tensor] = {}
        self._steps = 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the method's optimiser; the step size is set before each step instead."""
        return self.method.optimiser()

    def on_train_epoch_start(self) -> None:
        """Forget the sums of the epoch before."""
        self._sums, self._steps = {}, 0

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Tie dropout to (seed, epoch, step) and set the step size of this moment."""
        torch.manual_seed(torch_seed(self.seed, f"step {batch_idx}", self.current_epoch))
        moment = self.current_epoch + batch_idx / max(1, self.trainer.num_training_batches)
        for optimiser in self.trainer.optimizers:
            for group in optimiser.param_groups:
                start = group.setdefault("initial_lr", group["lr"])
                group["lr"] = start * self.method.recipe.rate(moment)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the summed loss terms.

        Raises:
            ExpresswayError: the loss is not finite; names the clips of the batch.
        """
        terms = self.method.loss(batch)
        total = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(total):
            shown = ", ".join(batch.ids[:10])
            raise ExpresswayError(
                f"the loss is {float(total.detach())} in epoch {self.current_epoch + 1}, "
                f"step {batch_idx + 1} (clips {shown}, …); "
                f"lower learning_rate or look at these clips' features. "
                "The last finite state is kept"
            )
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(total)) + value.detach()
        self._steps += 1
        return total

    def on_train_epoch_end(self) -> None:
        """Note the epoch's mean loss terms and its last step size."""
        means = {name: float(value) / max(1, self._steps) for name, value in self._sums.items()}
        rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        self.history.append({"epoch": self.current_epoch + 1, **means, "learning_rate": rate})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a resume must know."""
        checkpoint["expressway"] = {"identity": self.identity, "history": self.history}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the history over."""
        self.history = list(checkpoint["expressway"]["history"])
