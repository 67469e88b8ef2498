"""Work in slices that fit into GPU memory."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from expressway.errors import SystemicError

T = TypeVar("T")
log = logging.getLogger(__name__)


class Chunks:
    """Runs a function over slices of a batch; halves the slice when the GPU is out of memory.

    The smaller size is kept for later calls and told in the log.
    """

    def __init__(self, size: int, what: str) -> None:
        self.size = size
        self.what = what

    def run(self, function: Callable[[Any], T], items: Any) -> list[T]:
        """Return the function's results, slice by slice, in order.

        Raises:
            SystemicError: even a single item does not fit.
        """
        results: list[T] = []
        start = 0
        while start < len(items):
            fitted = self._try(function, items[start : start + self.size])
            if fitted:
                start += self.size
                results.extend(fitted)
            else:
                self._halve()
        return results

    def _try(self, function: Callable[[Any], T], part: Any) -> list[T]:
        """Return one result, or none when memory ran out.

        The error is dropped here, since its traceback keeps the tensors alive.
        """
        import torch

        try:
            return [function(part)]
        except torch.OutOfMemoryError:
            return []

    def _halve(self) -> None:
        import torch

        if self.size == 1:
            raise SystemicError(
                f"{self.what}: not even one fits into GPU memory; free the card, choose a smaller "
                "model, or set precision: bf16"
            )
        self.size = max(1, self.size // 2)
        log.warning("out of GPU memory: %s per batch reduced to %d", self.what, self.size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
