"""MediaPipe 0.10.14: BlazeFace detection and the 478-point face mesh, models in its wheel.

Each image is worked on for itself: MediaPipe's own tracking between images is not used, because
with it a frame's landmarks would depend on which frames, and which clips, came before.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from pydantic import Field

from expressway.core.config import StrictModel
from expressway.core.errors import SystemicError
from expressway.faces.align import TEMPLATE, TEMPLATE_SIZE, FloatArray, Image, apply, similarity
from expressway.faces.detectors.base import Face, Layout, ordered, overlap
from expressway.faces.detectors.graphs import DETECTION, MESH, Graph, matrix, messages, quiet

VERSION = "0.10.14"
SHORT, FULL = "FaceDetectionShortRangeCpu", "FaceDetectionFullRangeCpu"

# Half the mouth's width in eye distances, as in the alignment template; BlazeFace gives only
# the centre of the mouth.
HALF_MOUTH = 0.414

# Where the mesh model wants to look, in units of the 112 px alignment template: the centre of
# the mesh's bounding box, and 1.5 times its longer side, as MediaPipe's own tracking does.
REGION_CENTRE = np.array([56.0, 71.0], np.float32)
REGION_SIDE = 147.0

# The second look at a proposed face takes in so many times its box.
CLOSER_LOOK = 2.5
MINIMUM_WINDOW = 16

# In the second look a face fills the picture as the model likes it, so a real one scores high;
# letters and clouds that look like faces stay below.
CLOSER_SCORE = 0.2
SAME_FACE = 0.3


class MediaPipeOptions(StrictModel):
    """Options of the MediaPipe detector."""

    range: Literal["auto", "short", "full", "tiles"] = Field(
        default="auto",
        description="short: faces from a sixth of the image's width, fast; full: from a twelfth; "
        "auto: short, where it finds nothing full, where that finds nothing square tiles; "
        "tiles: everything in every image, for small faces beside large ones, slow",
    )


class MediaPipeDetector:
    """BlazeFace and face mesh on one thread; about 300 frames/s a core for both together."""

    layout: Layout = "mesh478"

    def __init__(self, options: MediaPipeOptions, minimum_score: float = 0.5) -> None:
        """Load both models.

        Raises:
            SystemicError: another MediaPipe than the pinned one is installed.
        """
        check_version()
        looks: dict[str, list[Callable[[Image], list[Face]]]] = {
            "short": [self._near],
            "full": [self._far],
            "auto": [self._near, self._far, partial(self._tiled, parts=1)],
            "tiles": [self._everywhere],
        }
        self._looks = looks[options.range]
        self._sure = min(minimum_score + CLOSER_SCORE, 1.0)
        with quiet():
            self._short = Graph(DETECTION.format(model=SHORT, minimum_score=minimum_score))
            self._full = Graph(DETECTION.format(model=FULL, minimum_score=minimum_score))
            self._mesh = Graph(MESH, with_attention=True)
            self._warm_up()

    def _warm_up(self) -> None:
        # The graphs write to stderr when they see their first image, not when they are made.
        blank = np.zeros((64, 64, 3), np.uint8)
        self._near(blank)
        self._far(blank)
        self.landmarks(blank, TEMPLATE * np.float32(64 / TEMPLATE_SIZE))

    def detect(self, image: Image) -> list[Face]:
        """Return the faces of an RGB image ``(height, width, 3)``, the most certain first."""
        for look in self._looks:
            faces = look(image)
            if faces:
                return ordered(faces)
        return []

    def _near(self, image: Image) -> list[Face]:
        return _faces(self._short, image)

    def _far(self, image: Image) -> list[Face]:
        """Return faces that the full-range model proposes and the short-range model confirms.

        The full-range model works on 192 px: its points are coarse, and of things that are too
        small it guesses. A closer look with the other model gives points of one kind everywhere.
        """
        proposals = _faces(self._full, image)
        return distinct([face for each in proposals for face in self._confirm(image, each)])

    def _confirm(self, image: Image, proposal: Face) -> list[Face]:
        """Return the best face in and around the proposed box, or none."""
        low, high = proposal.box[:2], proposal.box[2:]
        reach = float((high - low).max()) * CLOSER_LOOK / 2
        edges = [(low + high) / 2 - reach, (low + high) / 2 + reach]
        (left, top), (right, bottom) = np.clip(edges, 0, image.shape[1::-1]).astype(int)
        if min(right - left, bottom - top) < MINIMUM_WINDOW:
            return []
        seen = ordered(self._near(image[top:bottom, left:right]))
        return [moved(face, left, top) for face in seen[:1] if face.score >= self._sure]

    def _tiled(self, image: Image, parts: int) -> list[Face]:
        """Return faces found in half-overlapping square tiles, ``parts`` to the shorter side."""
        height, width = image.shape[:2]
        side = min(height, width) // parts
        if side < MINIMUM_WINDOW or side == max(height, width):
            return []
        return distinct(
            [
                moved(face, left, top)
                for top in starts(height, side)
                for left in starts(width, side)
                for face in self._far(image[top : top + side, left : left + side])
            ]
        )

    def _everywhere(self, image: Image) -> list[Face]:
        return distinct([*self._near(image), *self._far(image), *self._tiled(image, parts=2)])

    def landmarks(self, image: Image, points: FloatArray | None = None) -> FloatArray | None:
        """Return the mesh ``(478, 3)`` in pixels (z towards the back, same unit), or None."""
        from mediapipe.framework.formats.rect_pb2 import NormalizedRect

        height, width = image.shape[:2]
        centre, side, angle = self._region(image, points)
        region = NormalizedRect(
            x_center=centre[0] / width,
            y_center=centre[1] / height,
            width=side / width,
            height=side / height,
            rotation=angle,
        )
        found = self._mesh(image, region=region)
        if found is None:
            return None
        # The graph gives shares of the longer side, counted from the middle of the image; z in
        # shares of the width.
        mesh = matrix(found).T
        longer = max(width, height)
        mesh[:, :2] = (mesh[:, :2] - 0.5) * longer + (width / 2, height / 2)
        mesh[:, 2] *= width
        return mesh

    def _region(self, image: Image, points: FloatArray | None) -> tuple[FloatArray, float, float]:
        """Return centre, side and rotation of the square that the mesh model looks at."""
        if points is None:
            faces = self.detect(image)
            if not faces:
                height, width = image.shape[:2]
                centre = np.array([width / 2, height / 2], np.float32)
                return centre, float(max(width, height)), 0.0
            points = faces[0].points
        transform = similarity(TEMPLATE, points)
        scale = float(np.hypot(transform[0, 0], transform[1, 0]))
        angle = float(np.arctan2(transform[1, 0], transform[0, 0]))
        return apply(transform, REGION_CENTRE[None])[0], REGION_SIDE * scale, angle


def check_version() -> None:
    """Refuse a MediaPipe whose wheel has other models, or none.

    Raises:
        SystemicError: the installed version is not the pinned one.
    """
    from importlib.metadata import version

    found = version("mediapipe")
    if found != VERSION:
        raise SystemicError(
            f"mediapipe {found} is installed, expected {VERSION} (later ones come without models "
            f"or without numpy 2): pip install mediapipe=={VERSION}"
        )


def distinct(faces: list[Face]) -> list[Face]:
    """Return each face once, as it was found with the highest score."""
    kept: list[Face] = []
    for face in ordered(faces):
        if all(overlap(face.box, other.box) < SAME_FACE for other in kept):
            kept.append(face)
    return kept


def starts(length: int, side: int) -> list[int]:
    """Return where tiles of ``side`` begin that cover ``length`` and overlap by half or more."""
    count = math.ceil((length - side) / (side / 2)) + 1
    return [round(start) for start in np.linspace(0, length - side, count)]


def moved(face: Face, left: int, top: int) -> Face:
    """Return a face found in a part of an image in the whole image's pixels."""
    shift = np.array([left, top], np.float32)
    return Face(face.box + np.tile(shift, 2), face.score, face.points + shift)


def _faces(model: Graph, image: Image) -> list[Face]:
    found = model(image)
    return [] if found is None else [_face(each, *image.shape[:2]) for each in messages(found)]


def _face(detection: Any, height: int, width: int) -> Face:
    location = detection.location_data
    box = location.relative_bounding_box
    left, top = box.xmin * width, box.ymin * height
    corners = [left, top, left + box.width * width, top + box.height * height]
    keys = np.array([(key.x * width, key.y * height) for key in location.relative_keypoints])
    eyes, nose, mouth = keys[:2], keys[2], keys[3]
    half = (eyes[1] - eyes[0]) * HALF_MOUTH
    points = np.stack([*eyes, nose, mouth - half, mouth + half])
    return Face(np.array(corners, np.float32), float(detection.score[0]), points.astype(np.float32))
