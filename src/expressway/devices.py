"""Which card a job computes on: asked for, found, and not shared with another job."""

import fcntl
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from expressway.errors import SystemicError

POLL_SECONDS = 2.0


@contextmanager
def claim(gpus: int) -> Iterator[str]:
    """Yield ``cpu``, or a free card such as ``cuda:0`` that stays ours until the block ends.

    Raises:
        SystemicError: a GPU was asked for and this machine offers none.
    """
    if gpus == 0:
        yield "cpu"
        return
    cards = _visible_cards()
    index, lock = _lock_one(cards)
    try:
        yield f"cuda:{index}"
    finally:
        lock.close()


def _visible_cards() -> int:
    import torch

    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if cards == 0:
        raise SystemicError(
            f"a GPU was asked for, but torch {torch.__version__} (CUDA {torch.version.cuda}) sees "
            "none: check nvidia-smi and the torch build, or ask for no GPU (resources: gpu=0)"
        )
    return cards


def _lock_one(cards: int) -> tuple[int, IO[bytes]]:
    """Wait until one card is free; the lock files live on this machine, not on a shared disk."""
    while True:
        for index in range(cards):
            handle = (Path(tempfile.gettempdir()) / f"expressway-gpu-{index}.lock").open("ab")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return index, handle
            except OSError:
                handle.close()
        time.sleep(POLL_SECONDS)
