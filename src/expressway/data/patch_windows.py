"""Square windows for patches on face images, by the place of their middle.

A window of side s around row r covers rows r - s/2 to r + s/2 - 1. HESP's patch and the
``attention`` store share these rules (docs/methods/hesp.md, section 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from expressway.data.transforms import View

SHARE = 4
HOT = 201


def side(image_size: int) -> int:
    """Return the side of the patch in pixels: a quarter of the image's."""
    return image_size // SHARE


def inside(middle: NDArray[np.integer], image_size: int) -> NDArray[np.int64]:
    """Return the nearest middles whose window lies within the image; (..., 2) row, column."""
    half = side(image_size) // 2
    return np.clip(middle, half, image_size - side(image_size) + half).astype(np.int64)


def best_window(similarity: NDArray[np.floating], image_size: int) -> NDArray[np.int64]:
    """Return (row, column), the middle of the window with the largest mean of a map.

    The map is enlarged to the image (bilinear); of equal windows the first one wins.

    Args:
        similarity: (grid, grid).
    """
    import cv2

    large = cv2.resize(similarity.astype(np.float32), (image_size, image_size))
    sums = cv2.integral(large, sdepth=cv2.CV_64F)
    width = side(image_size)
    totals = sums[width:, width:] - sums[:-width, width:] - sums[width:, :-width]
    totals = totals + sums[:-width, :-width]
    # rounded, so that equal windows are equal whatever the order of the sums
    corner = np.unravel_index(int(totals.round(6).argmax()), totals.shape)
    return np.array(corner, np.int64) + width // 2


def seen_through(
    view: View, middle: NDArray[np.integer], stored: tuple[int, int], image_size: int
) -> NDArray[np.int64]:
    """Return where the middle of a window on the plain image lies in a view of it.

    Args:
        view: what is cut of an image of size ``stored`` and enlarged to ``image_size``.
        middle: (row, column) on the plain image of side ``image_size``.
    """
    row, column = np.asarray(middle) * np.array(stored) / image_size
    down, right = (row - view.top) / view.height, (column - view.left) / view.width
    place = np.array([down, 1 - right if view.mirrored else right]) * image_size
    return inside(place.round().astype(np.int64), image_size)


def hot_spot(heat: NDArray[np.floating], image_size: int) -> NDArray[np.int64]:
    """Return (row, column), the middle of a map's hottest region as HESP's release finds it.

    The region is the largest one above 79 % of the map's range. A map without any gives the
    middle of the image.

    Args:
        heat: (grid, grid).
    """
    import cv2

    spread = float(np.ptp(heat)) or 1.0
    levels = (255 * ((heat - heat.min()) / spread)).astype(np.uint8)
    large = cv2.resize(levels, (image_size, image_size))
    hot = (large >= HOT).astype(np.uint8)
    outlines, _ = cv2.findContours(hot, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    moments = cv2.moments(max(outlines, key=cv2.contourArea)) if outlines else {"m00": 0.0}
    if not moments["m00"]:
        return np.full(2, image_size // 2)
    return np.array([int(moments[name] / moments["m00"]) for name in ("m01", "m10")])
