"""Face crops for tests that need pictures, and the faces rows that hold them."""

import io
from typing import Any

import numpy as np


def crop(seed: int, size: int = 64) -> bytes:
    from PIL import Image

    noise = np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def faces_row(seed: int, frames: int = 10) -> dict[str, Any]:
    """A row of the faces store, as far as captioners read it."""
    return {
        "source_index": np.arange(frames, dtype=np.int32),
        "time": np.arange(frames) / 25,
        "valid": np.ones(frames, bool),
        "crops": [crop(100 * seed + index) for index in range(frames)],
    }
