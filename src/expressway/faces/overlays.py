"""FineCLIPER's two extra image streams, drawn from the stores whenever they are read.

Colours, weights and dots are those of FaceXFormer's visualisations, which FineCLIPER takes as
input (``docs/parsing.md`` has pictures). Every reader draws here, so that all see the same pixels.
"""

from collections.abc import Sequence

import numpy as np

from expressway.core.errors import RowFailure
from expressway.faces.align import FloatArray, Image
from expressway.faces.parsing import Mask, decode_mask
from expressway.faces.pictures import decode

# RGB of the eleven classes, in the order of ``parsing.CLASSES``.
PALETTE: Image = np.array(
    [
        (0, 0, 0),
        (0, 153, 255),
        (102, 255, 153),
        (0, 204, 153),
        (255, 255, 102),
        (255, 255, 204),
        (255, 153, 0),
        (255, 102, 255),
        (102, 0, 51),
        (255, 204, 255),
        (255, 0, 102),
    ],
    np.uint8,
)
YELLOW = (255, 255, 0)
DOT_RADIUS, DOT_THICKNESS = 0, 3


def colours(mask: Mask) -> Image:
    """Return a label map ``(height, width)`` in the palette's colours ``(height, width, 3)``.

    Raises:
        RowFailure: ``invalid``: a label beyond the eleven classes.
    """
    if mask.size and mask.max() >= len(PALETTE):
        raise RowFailure(
            "invalid", f"label {mask.max()} in a label map, expected 0 to {len(PALETTE) - 1}"
        )
    return PALETTE[mask]


def parsing_image(frame: Image, mask: Mask) -> Image:
    """Return an RGB frame ``(height, width, 3)``, half itself and half its label map's colours.

    Raises:
        RowFailure: ``invalid``: the label map has another size than the frame.
    """
    import cv2

    if frame.shape[:2] != mask.shape:
        raise RowFailure(
            "invalid",
            f"a label map {mask.shape} for a frame {frame.shape[:2]}; parse this faces variant "
            "again",
        )
    return np.asarray(cv2.addWeighted(frame, 0.5, colours(mask), 0.5, 0), np.uint8)


def landmark_image(frame: Image, points: FloatArray) -> Image:
    """Return an RGB frame ``(height, width, 3)`` with yellow dots at points ``(68, 2)``."""
    import cv2

    drawn = np.ascontiguousarray(frame).copy()
    for x, y in np.nan_to_num(points).astype(np.int32).tolist():
        cv2.circle(drawn, (x, y), DOT_RADIUS, YELLOW, DOT_THICKNESS)
    return drawn


def streams(
    crops: Sequence[bytes],
    masks: Sequence[bytes] | None = None,
    points: FloatArray | None = None,
) -> dict[str, Image]:
    """Return the image streams of some frames of a clip, each ``(frames, height, width, 3)`` RGB.

    Args:
        crops: encoded crops of the store ``faces``.
        masks: label maps of the same frames of the store ``parsing``; None leaves that stream out.
        points: ``(frames, 68, 2)`` of the same frames of ``landmarks``; None leaves it out.

    Returns:
        ``frames`` and, where asked for, ``parsing`` and ``landmarks``.

    Raises:
        RowFailure: an image cannot be decoded, or a label map does not fit its crop.
    """
    frames = [decode(crop, index) for index, crop in enumerate(crops)]
    drawn = {"frames": frames}
    if masks is not None:
        pairs = zip(frames, masks, strict=True)
        drawn["parsing"] = [parsing_image(frame, decode_mask(mask)) for frame, mask in pairs]
    if points is not None:
        placed = zip(frames, points, strict=True)
        drawn["landmarks"] = [landmark_image(frame, each) for frame, each in placed]
    return {name: np.stack(images) for name, images in drawn.items()}
