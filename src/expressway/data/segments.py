"""Frames spread over a whole clip, one from each of equally long segments (TSN's sampling).

Bounds of segments are real numbers, so that the last frames of a clip count as much as the first.
"""

import numpy as np

from expressway.data.sampling import Indices


def random_segments(count: int, length: int, random: np.random.Generator) -> Indices:
    """Return one random frame of each of ``length`` segments of ``count`` frames."""
    moments = (np.arange(length) + random.random(length)) * count / length
    return np.minimum(moments.astype(np.int64), count - 1)
