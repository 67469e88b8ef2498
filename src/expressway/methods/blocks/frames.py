"""A clip as the mean of its frames."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def frame_mean(row: Mapping[str, Any]) -> Tensor:
    """Return (D,): the mean of the unit vectors of the frames that show a face.

    All frames count when none shows one. Only the first, unaugmented view is read.

    Args:
        row: a row of ``visual_features``.
    """
    valid = np.asarray(row["valid"], dtype=bool)
    frames = np.asarray(row["features"][:, 0], dtype=np.float32)
    chosen = torch.from_numpy(frames[valid] if valid.any() else frames)
    return functional.normalize(chosen, dim=-1).mean(0)
