"""The images of a clip as tensors: only the frames that were chosen are decoded."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expressway.data.samplers import Indices
from expressway.faces.pictures import decode


def chosen_frames(row: Mapping[str, Any], positions: Indices) -> Tensor:
    """Return crops of a row of ``faces`` as uint8 ``(frames, 3, height, width)`` RGB.

    Args:
        row: a row with the column ``crops``.
        positions: (frames,) which of its frames; one that is asked for twice is decoded once.

    Raises:
        RowFailure: a crop cannot be decoded.
    """
    wanted, places = np.unique(positions, return_inverse=True)
    images = [decode(row["crops"][index], int(index)) for index in wanted]
    return as_tensor(np.stack(images)[places])


def as_tensor(images: NDArray[np.uint8]) -> Tensor:
    """Return ``(frames, height, width, 3)`` as ``(frames, 3, height, width)``."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
