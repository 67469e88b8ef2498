"""Device, precision and chunk size of model calls."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from expressway.core.errors import SystemicError

T = TypeVar("T")
Precision = Literal["fp32", "bf16"]
log = logging.getLogger(__name__)


def local_folder(model: str) -> tuple[str, ...]:
    """Return the folder of a local model, whose files decide the output; nothing for a hub id."""
    return (Path(model).as_posix(),) if Path(model).is_dir() else ()


def precision_for(wanted: str, device: str) -> Precision:
    """Return ``wanted``, or for ``auto`` bf16 on a GPU and fp32 on a CPU."""
    if wanted == "auto":
        return "bf16" if device.startswith("cuda") else "fp32"
    return "bf16" if wanted == "bf16" else "fp32"


def check_device(device: str) -> None:
    """Raise SystemicError when a GPU is asked for and there is none: never fall back silently."""
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemicError(
            f"device {device} was asked for, but torch sees no GPU; set device: cpu, or install "
            "a CUDA build of torch and check nvidia-smi"
        )


def as_half(values: np.ndarray, who: str) -> np.ndarray:
    """Return features as fp16.

    Raises:
        SystemicError: a value is not finite, or too large for fp16.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= float(np.finfo(np.float16).max):
        raise SystemicError(
            f"{who}: a feature of {largest} does not fit into fp16; its weights are damaged, or "
            "bf16 overflowed (set precision: fp32)"
        )
    return values.astype(np.float16)


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
