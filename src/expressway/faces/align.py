"""From a face in a frame to a square crop: similarity alignment, a box, or the image as it is.

Everything here is geometry on arrays; ``...`` stands for any leading axes, frames usually.
"""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Image = NDArray[np.uint8]

TEMPLATE_SIZE = 112

# ArcFace's own crop cuts through the chin of most faces, and through that of every open mouth.
# With this margin jaws stay inside; the face keeps three quarters of its pixels per side.
MARGIN = 0.15

# ArcFace's reference places of the five points in its 112 px crop: left eye, right eye, nose,
# left and right mouth corner, left and right as seen in the image.
TEMPLATE: FloatArray = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    np.float32,
)


def template(size: int, margin: float = MARGIN) -> FloatArray:
    """Return ``(5, 2)`` where the five points belong in a crop of ``size`` pixels.

    ``margin`` is what the crop shows beyond ArcFace's on each side, as a share of ArcFace's side.
    """
    inner = size / (1 + 2 * margin)
    return TEMPLATE * np.float32(inner / TEMPLATE_SIZE) + np.float32((size - inner) / 2)


def similarity(source: FloatArray, target: FloatArray) -> FloatArray:
    """Return ``(..., 2, 3)`` the rotation, scale and shift with the least squared error.

    The closed-form solution (Umeyama 1991) in two dimensions, where it is a complex line fit.
    Points that all coincide give scale 0.

    Args:
        source: points ``(..., n, 2)``.
        target: where they should come to lie, ``(..., n, 2)``.
    """
    z, w = _as_complex(source), _as_complex(target)
    z_mean, w_mean = z.mean(-1), w.mean(-1)
    z_centred, w_centred = z - z_mean[..., None], w - w_mean[..., None]
    spread = np.maximum((np.abs(z_centred) ** 2).sum(-1), 1e-12)
    turn = (z_centred.conj() * w_centred).sum(-1) / spread
    shift = w_mean - turn * z_mean
    rows = [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]
    return np.stack([np.stack(row, -1) for row in rows], -2).astype(np.float32)


def _as_complex(points: FloatArray) -> NDArray[np.complex128]:
    points64 = np.asarray(points, np.float64)
    return points64[..., 0] + 1j * points64[..., 1]


def square(box: FloatArray, size: int, margin: float = 0.0) -> FloatArray:
    """Return ``(..., 2, 3)`` that maps the square around boxes ``(..., 4)`` to a crop.

    ``margin`` is added on each side, as a share of the box's longer side.
    """
    box64 = np.asarray(box, np.float64)
    centre = (box64[..., :2] + box64[..., 2:]) / 2
    side = (box64[..., 2:] - box64[..., :2]).max(-1) * (1 + 2 * margin)
    return _scaled(size / np.maximum(side, 1e-6), centre, size)


def whole(height: int, width: int, size: int) -> FloatArray:
    """Return ``(2, 3)`` that shows a whole image in a crop, its sides kept in proportion."""
    return _scaled(np.float64(size / max(height, width)), np.array([width, height]) / 2, size)


def _scaled(scale: NDArray[np.float64] | np.float64, centre: np.ndarray, size: int) -> FloatArray:
    scale = np.asarray(scale)
    transform = np.zeros((*scale.shape, 2, 3))
    transform[..., 0, 0] = transform[..., 1, 1] = scale
    transform[..., 2] = size / 2 - scale[..., None] * centre
    return transform.astype(np.float32)


def apply(transform: FloatArray, points: FloatArray) -> FloatArray:
    """Return points ``(..., n, 2)`` after transforms ``(..., 2, 3)``."""
    turned = points @ np.swapaxes(transform[..., :2], -1, -2)
    return np.asarray(turned + transform[..., None, :, 2], np.float32)


def crop(image: Image, transform: FloatArray, size: int) -> Image:
    """Return the crop ``(size, size, 3)`` that a transform ``(2, 3)`` cuts; black outside.

    Bilinear; faces larger than the crop are averaged down first, so that nothing aliases.
    """
    import cv2

    factor = int(1 / max(float(np.hypot(transform[0, 0], transform[1, 0])), 1e-6))
    if factor >= 2:
        image, transform = _reduced(image, transform, size, factor)
    return np.asarray(
        cv2.warpAffine(image, transform.astype(np.float64), (size, size)), dtype=np.uint8
    )


def _reduced(
    image: Image, transform: FloatArray, size: int, factor: int
) -> tuple[Image, FloatArray]:
    """Return the needed part of an image, averaged down by a whole factor, and its transform."""
    import cv2

    back = cv2.invertAffineTransform(transform.astype(np.float64))
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]])
    seen = apply(back.astype(np.float32), corners.astype(np.float32))
    height, width = image.shape[:2]
    low = np.clip(np.floor(seen.min(0)).astype(int) - factor, 0, [width, height])
    high = np.clip(np.ceil(seen.max(0)).astype(int) + factor, 0, [width, height])
    cells = (high - low) // factor
    if cells.min() < 1:
        return image, transform
    high = low + cells * factor
    part = image[low[1] : high[1], low[0] : high[0]]
    small = cv2.resize(part, tuple(int(n) for n in cells), interpolation=cv2.INTER_AREA)
    # Pixel centres: cell i averages the pixels around low + factor * i + (factor - 1) / 2.
    to_image = np.eye(3)
    to_image[0, 0] = to_image[1, 1] = factor
    to_image[:2, 2] = low + (factor - 1) / 2
    return np.asarray(small, np.uint8), (transform.astype(np.float64) @ to_image).astype(np.float32)


def smoothed(values: FloatArray, times: NDArray[np.float64], seconds: float) -> FloatArray:
    """Return ``(frames, ...)`` averaged over time with a Gaussian of the given deviation.

    Symmetrical in time, so that steady motion is not delayed; 0 leaves the values as they are.
    """
    if seconds <= 0 or len(values) < 2:
        return values
    total, weights = np.zeros(values.shape), np.zeros(len(values))
    flat = (slice(None),) + (None,) * (values.ndim - 1)
    for shift in range(len(values)):
        head, tail = slice(0, len(values) - shift), slice(shift, len(values))
        apart = times[tail] - times[head]
        weight = np.exp(-0.5 * (apart / seconds) ** 2)
        if weight.max() < 1e-4:
            break
        total[head] += weight[flat] * values[tail]
        weights[head] += weight
        if shift:
            total[tail] += weight[flat] * values[head]
            weights[tail] += weight
    return np.asarray(total / weights[flat], np.float32)
