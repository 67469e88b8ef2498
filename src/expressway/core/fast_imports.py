"""Importing large libraries at the start of a short job."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage while large libraries are imported.

    What an import makes stays, nearly all of it. Looking through hundreds of thousands of objects
    again and again is a fifth of the time that torch, open_clip and Lightning take to import, which
    is most of what a small job does; ``gc.freeze`` spares later collections the same.
    """
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.freeze()
            gc.enable()
