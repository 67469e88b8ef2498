"""The 68-point order that all stages speak, and how dense layouts are turned into it.

The 68 points are those of Multi-PIE/iBUG 300-W, numbered from 0: jaw 0-16, brows 17-26, nose
27-35, eyes 36-47, mouth 48-67, each from left to right as seen in the image (``docs/landmarks.md``
has pictures).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from expressway.faces.align import FloatArray

REGIONS: dict[str, slice] = {
    "jaw": slice(0, 17),
    "left_brow": slice(17, 22),
    "right_brow": slice(22, 27),
    "nose": slice(27, 36),
    "left_eye": slice(36, 42),
    "right_eye": slice(42, 48),
    "outer_lips": slice(48, 60),
    "inner_lips": slice(60, 68),
}
NOSE_TIP, LEFT_CORNER, RIGHT_CORNER = 30, 48, 54


def _mirror_order() -> list[int]:
    jaw, brows = list(range(16, -1, -1)), list(range(26, 16, -1))
    nose = [27, 28, 29, 30, 35, 34, 33, 32, 31]
    eyes = [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    outer = [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55]
    inner = [64, 63, 62, 61, 60, 67, 66, 65]
    return [*jaw, *brows, *nose, *eyes, *outer, *inner]


# MIRROR[i] is the point that takes the place of point i in a mirrored image.
MIRROR: NDArray[np.intp] = np.array(_mirror_order())

# InsightFace's 2d106 order: contour 0-32 (0 is the chin), left brow 43-51, right brow 97-105,
# left eye 33-42, right eye 87-96, nose 72-86, mouth 52-71.
FROM_106: tuple[int, ...] = (
    *(1, 10, 12, 14, 16, 3, 5, 7, 0, 23, 21, 19, 32, 30, 28, 26, 17),
    *(43, 48, 49, 51, 50),
    *(102, 103, 104, 105, 101),
    *(72, 73, 74, 86, 78, 79, 80, 85, 84),
    *(35, 41, 42, 39, 37, 36),
    *(89, 95, 96, 93, 91, 90),
    *(52, 64, 63, 71, 67, 68, 61, 58, 59, 53, 56, 55),
    *(65, 66, 62, 70, 69, 57, 60, 54),
)

# MediaPipe's mesh has no points at even distances along the jaw, which 68-point models divide
# evenly, and none along the middle of the brows, only along their edges. There the middle of two
# points comes nearest.
FROM_MESH: tuple[int | tuple[int, int], ...] = (
    *(127, 234, (93, 132), (132, 58), (58, 172), 136, (150, 149), (176, 148), 152),
    *((400, 377), (379, 378), 365, (288, 397), (361, 288), (323, 361), 454, 356),
    *((70, 46), (63, 53), (105, 52), (66, 65), (107, 55)),
    *((336, 285), (296, 295), (334, 282), (293, 283), (300, 276)),
    *(168, 197, 5, 4, 98, 97, 2, 326, 327),
    *(33, 160, 158, 133, 153, 144),
    *(362, 385, 387, 263, 373, 380),
    *(61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91),
    *(78, 81, 13, 311, 308, 402, 14, 178),
)


def _pairs(entries: tuple[int | tuple[int, int], ...]) -> NDArray[np.intp]:
    return np.array([entry if isinstance(entry, tuple) else (entry, entry) for entry in entries])


# Layout of a detector -> for each of the 68 points the two dense points it lies between.
TABLES: Mapping[str, NDArray[np.intp]] = {
    "points106": _pairs(FROM_106),
    "mesh478": _pairs(FROM_MESH),
}


def to_68(dense: FloatArray, layout: str) -> FloatArray:
    """Return ``(..., 68, 2)`` from the dense points ``(..., n, 2 or 3)`` of a layout."""
    table = TABLES[layout]
    flat = dense[..., :2]
    return np.asarray((flat[..., table[:, 0], :] + flat[..., table[:, 1], :]) / 2, np.float32)


def to_5(points: FloatArray) -> FloatArray:
    """Return ``(..., 5, 2)`` eye centres, nose tip and mouth corners of 68 points."""
    eyes = [points[..., REGIONS[name], :].mean(-2) for name in ("left_eye", "right_eye")]
    rest = [points[..., index, :] for index in (NOSE_TIP, LEFT_CORNER, RIGHT_CORNER)]
    return np.asarray(np.stack([*eyes, *rest], -2), np.float32)


def mirrored(points: FloatArray, width: float) -> FloatArray:
    """Return 68 points ``(..., 68, 2)`` of the mirrored image of the given width."""
    turned = points[..., MIRROR, :].copy()
    turned[..., 0] = width - 1 - turned[..., 0]
    return turned
