"""Parsing without weights: the regions that landmarks enclose, drawn as polygons.

Hair has no landmarks and stays background; so do ears and neck, as in the other parsers. The skin
ends where the mesh ends, below the hairline. Glasses, hands and beards are not seen at all.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from expressway.core.errors import RowFailure
from expressway.faces.align import FloatArray
from expressway.faces.parsing import INDEX, Mask, Portrait, crop_size, frames_of

# Fixed-point digits that OpenCV keeps of a polygon's corners: 1/16 of a pixel.
SUBPIXEL = 4
LARGEST = 1 << 14

# How far above the ears the skin reaches, as a share of how far the chin reaches below: about
# where MediaPipe's mesh ends, so that both kinds of landmarks give like masks.
FOREHEAD = 0.5

# The 68 points run along the middle of a brow; its height in eye distances.
BROW_HEIGHT = 0.09

LIPS_UP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LIPS_DOWN = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
MOUTH_UP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
MOUTH_DOWN = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)

# Contours in MediaPipe's mesh of 478 points, in the order in which they are drawn: what comes
# later lies on top. A closed mouth is a line, which the lips then cover.
MESH_CONTOURS: Mapping[str, tuple[int, ...]] = {
    "skin": (
        *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
        *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
    ),
    "nose": (
        *(168, 122, 174, 198, 49, 48, 64, 98, 97, 2),
        *(326, 327, 294, 278, 279, 420, 399, 351),
    ),
    "left_brow": (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    "right_brow": (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
    "left_eye": (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    "right_eye": (
        *(263, 466, 388, 387, 386, 385, 384, 398),
        *(362, 382, 381, 380, 374, 373, 390, 249),
    ),
    "inner_mouth": (*MOUTH_UP, *MOUTH_DOWN[-2:0:-1]),
    "upper_lip": (*LIPS_UP, *MOUTH_UP[::-1]),
    "lower_lip": (*LIPS_DOWN, *MOUTH_DOWN[::-1]),
}

# The same for contours that consist of some of the 68 points as they are.
POINT_CONTOURS: Mapping[str, tuple[int, ...]] = {
    "left_eye": tuple(range(36, 42)),
    "right_eye": tuple(range(42, 48)),
    "inner_mouth": tuple(range(60, 68)),
    "upper_lip": (*range(48, 55), *range(64, 59, -1)),
    "lower_lip": (*range(54, 60), 48, 60, *range(67, 63, -1)),
}


class RegionsParser:
    """Draws what landmarks enclose, faster than a crop is decoded."""

    missing_classes: tuple[str, ...] = ("hair",)

    def masks(self, portraits: Sequence[Portrait]) -> Iterator[Mask]:
        """Yield the label map ``(height, width)`` of every frame of every portrait, in order.

        Raises:
            RowFailure: ``invalid``: a clip's landmarks do not fit its crops.
        """
        for portrait in portraits:
            _check(portrait)
        for portrait, frame in frames_of(portraits):
            size = crop_size(portrait.crops[frame], frame)
            yield draw(_contours(portrait, frame), size)


def _check(portrait: Portrait) -> None:
    points, mesh = portrait.points, portrait.mesh
    placed = 0 if points is None else len(points)
    if placed != len(portrait) or (mesh is not None and len(mesh) not in (0, len(portrait))):
        raise RowFailure(
            "invalid",
            f"{portrait.clip_id}: {len(portrait)} crops but landmarks of {placed} frames; "
            "parsing must read the faces variant that its landmarks variant reads",
        )


def _contours(portrait: Portrait, frame: int) -> Mapping[str, FloatArray]:
    if portrait.mesh is not None and len(portrait.mesh):
        return mesh_contours(portrait.mesh[frame])
    assert portrait.points is not None  # _check has seen them
    return point_contours(portrait.points[frame])


def mesh_contours(mesh: FloatArray) -> dict[str, FloatArray]:
    """Return class -> polygon ``(n, 2)`` of MediaPipe's mesh ``(478, 2 or 3)``."""
    return {name: mesh[list(order), :2] for name, order in MESH_CONTOURS.items()}


def point_contours(points: FloatArray) -> dict[str, FloatArray]:
    """Return class -> polygon ``(n, 2)`` of 68 points ``(68, 2)``.

    Forehead, height of the brows and sides of the nose are not among the 68 points and estimated.
    """
    jaw, eyes = points[:17], (points[36:42].mean(0), points[42:48].mean(0))
    down = _down(*eyes) * np.float32(np.linalg.norm(eyes[1] - eyes[0]) * BROW_HEIGHT / 2)
    bridge = points[27]
    nose = [bridge, (bridge + points[39]) / 2, *points[31:36], (bridge + points[42]) / 2]
    return {
        "skin": np.concatenate([jaw, _forehead(jaw)]),
        "nose": np.stack(nose),
        "left_brow": np.concatenate([points[17:22] - down, points[21:16:-1] + down]),
        "right_brow": np.concatenate([points[22:27] - down, points[26:21:-1] + down]),
        **{name: points[list(order)] for name, order in POINT_CONTOURS.items()},
    }


def _down(left_eye: FloatArray, right_eye: FloatArray) -> FloatArray:
    """Return the unit vector ``(2,)`` from the eyes towards the chin."""
    across = right_eye - left_eye
    length = max(float(np.linalg.norm(across)), 1e-6)
    return np.array([-across[1], across[0]], np.float32) / np.float32(length)


def _forehead(jaw: FloatArray) -> FloatArray:
    """Return the inner jaw points ``(15, 2)`` mirrored at the line between the ears, flatter."""
    start, across = jaw[0], jaw[16] - jaw[0]
    inner = jaw[15:0:-1] - start
    share = inner @ across / max(float(across @ across), 1e-6)
    along = share[:, None] * across
    return np.asarray(start + along - np.float32(FOREHEAD) * (inner - along), np.float32)


def draw(contours: Mapping[str, FloatArray], size: tuple[int, int]) -> Mask:
    """Return the label map of polygons, class -> ``(n, 2)``, in an image of ``(height, width)``."""
    import cv2

    mask = np.zeros(size, np.uint8)
    for name, contour in contours.items():
        bounded = np.clip(np.nan_to_num(contour), -LARGEST, LARGEST)
        corners = np.rint(bounded * (1 << SUBPIXEL)).astype(np.int32)
        cv2.fillPoly(mask, [corners], INDEX[name], shift=SUBPIXEL)
    return mask
