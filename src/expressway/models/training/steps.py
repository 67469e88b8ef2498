"""Division of an epoch into steps, processes and micro batches."""

from dataclasses import dataclass
from typing import Any, Self

from expressway.core.errors import ConfigError
from expressway.methods.base import Method


@dataclass(frozen=True)
class Steps:
    """An epoch of ``count`` steps with ``size`` clips each.

    Each of ``world`` processes computes ``size / world`` of a step's clips, in ``accumulate``
    micro batches. What a step sees does not depend on either.
    """

    size: int
    count: int
    world: int = 1
    accumulate: int = 1

    @classmethod
    def of(cls, method: Method[Any], clips: int, world: int) -> Self:
        """Return the steps of an epoch with ``clips`` clips under a method's recipe.

        Raises:
            ConfigError: the recipe cannot be dealt out like this.
        """
        recipe = method.recipe
        _check_loss(method, world)
        shares = world * recipe.accumulate
        if recipe.batch_size and recipe.batch_size % shares:
            raise ConfigError(
                f"batch_size {recipe.batch_size} cannot be divided by {world} processes x "
                f"{recipe.accumulate} micro batches; choose a multiple of {shares}"
            )
        size = min(recipe.batch_size or clips, clips) // shares * shares
        if size == 0:
            raise ConfigError(f"{clips} clips to train on, but {shares} shares to deal them to")
        return cls(size, clips // size, world, recipe.accumulate)

    @property
    def micro(self) -> int:
        """Clips that a process computes at once."""
        return self.size // (self.world * self.accumulate)

    @property
    def batches(self) -> int:
        """Micro batches of a process in an epoch."""
        return self.count * self.accumulate

    @property
    def clips(self) -> int:
        """Clips of an epoch, over all processes; the rest waits for another epoch."""
        return self.count * self.size

    def ends_with(self, batch: int) -> bool:
        """Return whether micro batch ``batch`` (from 0) completes a step."""
        return (batch + 1) % self.accumulate == 0


def _check_loss(method: Method[Any], world: int) -> None:
    recipe, protocol = method.recipe, method.context.protocol
    if recipe.optimiser == "lbfgs" and (world > 1 or recipe.accumulate > 1):
        raise ConfigError(
            f"{method.name}: optimiser lbfgs searches along a line by the loss of the whole "
            f"training part, which no single process or micro batch knows ({world} processes, "
            f"accumulate: {recipe.accumulate}); train it in one process, or set optimiser: adamw"
        )
    reason = method.loss_over_batch.get(protocol)
    if reason and recipe.accumulate > 1:
        raise ConfigError(
            f"{method.name} under {protocol} cannot have accumulate: {recipe.accumulate}: "
            f"{reason}; set accumulate: 1 and train on more devices, or choose a smaller batch_size"
        )
