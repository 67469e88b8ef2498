"""Anti-aliased drawing with sub-pixel coordinates: thin names over OpenCV's primitives.

Points are float arrays (n, 2) in pixels; colours are RGB.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expressway.data.demo.identity import Colour
from expressway.data.demo.units import FloatArray

Image = NDArray[Any]
_SHIFT = 5
_ONE = 1 << _SHIFT


@contextmanager
def one_thread() -> Iterator[None]:
    """Draw on one core: arrays this small only lose by being shared among threads."""
    import cv2
    from threadpoolctl import threadpool_limits

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(before)


def fixed(points: FloatArray) -> NDArray[np.int32]:
    """Pixel coordinates as OpenCV's fixed-point numbers."""
    return np.rint(points * _ONE).astype(np.int32)


def fill(image: Image, points: FloatArray, colour: Colour | float) -> None:
    """Fill a polygon."""
    import cv2

    cv2.fillPoly(image, [fixed(points)], _scalar(colour), cv2.LINE_AA, _SHIFT)


def line(image: Image, points: FloatArray, colour: Colour | float, width: int = 1) -> None:
    """Draw an open line through the points."""
    import cv2

    cv2.polylines(image, [fixed(points)], False, _scalar(colour), width, cv2.LINE_AA, _SHIFT)


def disc(image: Image, centre: FloatArray, radius: float, colour: Colour | float) -> None:
    """Fill a circle."""
    import cv2

    x, y = (round(value * _ONE) for value in centre.tolist())
    cv2.circle(image, (x, y), round(radius * _ONE), _scalar(colour), -1, cv2.LINE_AA, _SHIFT)


def _scalar(colour: Colour | float) -> tuple[float, ...]:
    return colour if isinstance(colour, tuple) else (float(colour),)


def offset(points: FloatArray, x: float, y: float) -> FloatArray:
    """Points moved by (x, y)."""
    moved: FloatArray = points + np.array([x, y])
    return moved


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """A colour between two: `share` of the other one."""
    keep = 1.0 - share
    return (
        colour[0] * keep + other[0] * share,
        colour[1] * keep + other[1] * share,
        colour[2] * keep + other[2] * share,
    )


def tone(colour: Colour, factor: float) -> Colour:
    """A lighter (> 1) or darker (< 1) colour."""
    red, green, blue = (min(255.0, value * factor) for value in colour)
    return red, green, blue


def smooth(points: FloatArray, closed: bool = False, density: int = 6) -> FloatArray:
    """A Catmull-Rom curve through the points, `density` samples per stretch."""
    return _curve_matrix(len(points), closed, density) @ points


@lru_cache(maxsize=64)
def _curve_matrix(count: int, closed: bool, density: int) -> FloatArray:
    t = np.arange(density) / density
    weights = 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3]
    )
    stretches = count if closed else count - 1
    matrix = np.zeros((stretches * density + (not closed), count))
    for stretch in range(stretches):
        rows = slice(stretch * density, (stretch + 1) * density)
        for offset in range(4):
            point = stretch + offset - 1
            column = point % count if closed else min(max(point, 0), count - 1)
            matrix[rows, column] += weights[offset]
    if not closed:
        matrix[-1, -1] = 1.0
    return matrix


def blend(image: Image, mask: Image, colour: Colour) -> None:
    """Paint a colour through a mask (0..255) of the same height and width, in place."""
    alpha = mask[:, :, None].astype(np.float32) * (1.0 / 255.0)
    paint = np.array(colour, np.float32)
    np.copyto(image, (image + (paint - image) * alpha + 0.5).astype(np.uint8))


def window(points: FloatArray, margin: float, size: int) -> tuple[slice, slice]:
    """The rows and columns of a square image that hold these points with a margin."""
    low = np.floor(points.min(axis=0) - margin).astype(int).clip(0, size - 2)
    high = np.ceil(points.max(axis=0) + margin).astype(int).clip(low + 2, size)
    return slice(low[1], high[1]), slice(low[0], high[0])
