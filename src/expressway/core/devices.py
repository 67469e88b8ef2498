"""Devices of a job: a GPU that no other job of this machine computes on."""

import fcntl
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from expressway.core.errors import SystemicError

POLL_SECONDS = 2.0


@contextmanager
def claim(gpus: int) -> Iterator[str]:
    """Yield ``cpu``, or a free card such as ``cuda:0`` that stays ours until the block ends.

    Raises:
        SystemicError: a GPU was asked for and this machine offers none.
    """
    with claim_all(min(gpus, 1)) as found:
        yield found[0] if found else "cpu"


@contextmanager
def claim_all(gpus: int) -> Iterator[list[str]]:
    """Yield so many free cards, which stay ours until the block ends.

    Raises:
        SystemicError: this machine offers fewer.
    """
    if gpus == 0:
        yield []
        return
    cards = visible_cards()
    if gpus > cards:
        raise SystemicError(f"{gpus} GPUs were asked for, but torch sees {cards}")
    with ExitStack() as held:
        yield [f"cuda:{index}" for index in _lock(gpus, cards, held)]


def visible_cards() -> int:
    """Return how many cards torch sees.

    Raises:
        SystemicError: none.
    """
    import torch

    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if cards == 0:
        raise SystemicError(
            f"a GPU was asked for, but torch {torch.__version__} (CUDA {torch.version.cuda}) sees "
            "none: check nvidia-smi and the torch build, or ask for no GPU (resources: gpu=0)"
        )
    return cards


def _lock(gpus: int, cards: int, held: ExitStack) -> list[int]:
    """Wait until enough cards are free; none is held while waiting, so no two jobs block both."""
    while True:
        with ExitStack() as tried:
            found: list[int] = []
            for index in range(cards):
                lock = _try_lock(index) if len(found) < gpus else None
                if lock is not None:
                    tried.enter_context(lock)
                    found.append(index)
            if len(found) == gpus:
                held.push(tried.pop_all())
                return found
        time.sleep(POLL_SECONDS)


def _try_lock(index: int) -> IO[bytes] | None:
    """Lock a card's file, which lives on this machine and not on a shared disk."""
    handle = (Path(tempfile.gettempdir()) / f"expressway-gpu-{index}.lock").open("ab")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        return None
    return handle
