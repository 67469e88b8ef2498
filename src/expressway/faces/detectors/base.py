"""The interface of face detectors."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from expressway.faces.align import FloatArray, Image

Layout = Literal["mesh478", "points106"]


@dataclass(frozen=True)
class Face:
    """One detected face, in pixels of the image it was found in.

    Attributes:
        box: ``(4,)`` x1, y1, x2, y2; may reach beyond the image where the face does.
        score: the detector's confidence, 0 to 1.
        points: ``(5, 2)`` left eye, right eye, nose, left and right mouth corner, left and
            right as seen in the image.
    """

    box: FloatArray
    score: float
    points: FloatArray


class Detector(Protocol):
    """A face detector with dense landmarks. Calls keep no state: the result is a function of
    the arguments, so that clips may be spread over workers in any order.

    Attributes:
        layout: which points ``landmarks`` gives; a key of ``expressway.faces.landmarks.TABLES``.
    """

    layout: Layout

    def detect(self, image: Image) -> list[Face]:
        """Return the faces of an RGB image ``(height, width, 3)``, the most certain first."""
        ...

    def landmarks(self, image: Image, points: FloatArray | None = None) -> FloatArray | None:
        """Return dense points ``(n, 2 or 3)`` of the face in an RGB image, in its pixels.

        Args:
            image: ``(height, width, 3)``.
            points: ``(5, 2)`` where the face is; without them it is searched for in the image.

        Returns:
            None where no face is to be seen.
        """
        ...


def ordered(faces: list[Face]) -> list[Face]:
    """Return faces by falling score, then from left to right, so that ties are no accident."""
    return sorted(faces, key=lambda face: (-face.score, float(face.box[0]), float(face.box[1])))


def overlap(a: FloatArray, b: FloatArray) -> float:
    """Return the intersection over union of two boxes."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = float(np.prod(np.maximum(high - low, 0)))
    union = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - common
    return common / union if union > 0 else 0.0
