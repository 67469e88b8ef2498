"""Distances on a face, frame by frame, without the head's motion, in units of the eye distance.

Works on the 68 points that every detector gives; where there is a dense mesh the head's turns
are taken out in three dimensions first. Arrays are ``(frames, ...)``, x to the right of the image,
y down.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
# Takes the 68 points ``(frames, 68, 2)`` out of a mesh ``(frames, 478, 3)``.
As68 = Callable[[FloatArray], NDArray[np.floating]]

# Mesh points that expressions hardly move: eye corners, bridge of the nose, forehead, temples.
STABLE_MESH = (33, 133, 362, 263, 168, 6, 197, 195, 10, 151, 9, 127, 356, 234, 454, 8)
STABLE_68 = (36, 39, 42, 45, 27, 28)
LEFT_EYE, RIGHT_EYE = (36, 39), (42, 45)
LEFT_IRIS, RIGHT_IRIS = 468, 473
# Where the tip of the nose goes, in eye distances, when the head turns by one radian.
NOSE_REACH = 0.55

# Name -> (upper points, lower points): how far the lower lie below the upper.
HEIGHTS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "inner_brow": ((20, 21, 22, 23), (39, 42)),
    "outer_brow": ((17, 18, 25, 26), (36, 45)),
    "inner_brow_left": ((20, 21), (39,)),
    "inner_brow_right": ((22, 23), (42,)),
    "outer_brow_left": ((17, 18), (36,)),
    "outer_brow_right": ((25, 26), (45,)),
    "lid_opening": ((37, 38, 43, 44), (40, 41, 46, 47)),
    "lower_lid": ((36, 39, 42, 45), (40, 41, 46, 47)),
    "nostril_height": ((36, 39, 42, 45), (31, 35)),
    "upper_lip_height": ((33,), (50, 51, 52)),
    "corner_height": ((36, 39, 42, 45), (48, 54)),
    "corner_height_left": ((36, 39, 42, 45), (48,)),
    "corner_height_right": ((36, 39, 42, 45), (54,)),
    "corner_over_lip": ((61, 62, 63), (48, 54)),
    "lip_gap": ((61, 62, 63), (65, 66, 67)),
    "upper_lip_thickness": ((50, 51, 52), (61, 62, 63)),
    "lower_lip_thickness": ((65, 66, 67), (56, 57, 58)),
    "chin_height": ((36, 39, 42, 45), (7, 8, 9)),
    "chin_below_lip": ((57,), (7, 8, 9)),
}
# Name -> (left points, right points): how far the right lie to the right of the left.
WIDTHS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "nose_width": ((31,), (35,)),
    "mouth_width": ((48,), (54,)),
    "mouth_left": ((48,), (33,)),
    "mouth_right": ((33,), (54,)),
}


@dataclass(frozen=True)
class Course:
    """What a face does over time.

    Attributes:
        distances: name -> ``(frames,)`` in eye distances.
        turn: ``(frames,)`` degrees of the head to the right of the image, against the clip's
            usual pose.
        nod: ``(frames,)`` degrees downwards; zeros without a mesh.
        gaze: ``(frames, 2)`` of the irises to the right and down, in eye distances, against
            the clip's usual gaze; zeros without irises.
    """

    distances: dict[str, FloatArray]
    turn: FloatArray
    nod: FloatArray
    gaze: FloatArray


def measure(points: NDArray[np.floating], mesh: NDArray[np.floating] | None, as_68: As68) -> Course:
    """Measure a clip.

    Args:
        points: 68 points ``(frames, 68, 2)``, any pixels.
        mesh: dense mesh ``(frames, 478, 3)`` in the same pixels, or None or empty.
        as_68: how the mesh shows the 68 points.
    """
    if mesh is not None and len(mesh):
        upright, turn, nod = without_pose(np.asarray(mesh, np.float64))
        return Course(distances(np.asarray(as_68(upright), np.float64)), turn, nod, _gaze(upright))
    flat = _upright(np.asarray(points, np.float64))
    still = np.zeros(len(flat))
    return Course(distances(flat), _turn_of_nose(flat), still, np.zeros((len(flat), 2)))


def distances(points: FloatArray) -> dict[str, FloatArray]:
    """Return name -> ``(frames,)`` of upright 68 points ``(frames, 68, 2)``."""
    found = {name: _apart(points[..., 1], *pair) for name, pair in HEIGHTS.items()}
    return found | {name: _apart(points[..., 0], *pair) for name, pair in WIDTHS.items()}


def _apart(values: FloatArray, low: tuple[int, ...], high: tuple[int, ...]) -> FloatArray:
    difference: FloatArray = values[:, list(high)].mean(1) - values[:, list(low)].mean(1)
    return difference


def without_pose(mesh: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the mesh ``(frames, 478, 3)`` upright, seen from the front, the eyes 1 apart.

    Also returns turn and nod ``(frames,)`` in degrees against the clip's usual pose.
    """
    stable = mesh[:, STABLE_MESH]
    usual = np.median(stable - stable.mean(1, keepdims=True), axis=0)
    usual = usual @ _face_axes(usual)
    rotation, scale = _fit(stable - stable.mean(1, keepdims=True), usual - usual.mean(0))
    centred = mesh - stable.mean(1, keepdims=True)
    upright = scale[:, None, None] * np.einsum("fni,fij->fnj", centred, rotation)
    apart = upright[:, [362, 263]].mean(1) - upright[:, [33, 133]].mean(1)
    upright /= max(float(np.median(np.linalg.norm(apart, axis=1))), 1e-6)
    turn, nod = _angles(rotation)
    return upright, turn, nod


def _face_axes(stable: FloatArray) -> FloatArray:
    """Return ``(3, 3)``: across the eyes, down the nose, and out of the face, as columns."""
    across = stable[[2, 3]].mean(0) - stable[[0, 1]].mean(0)
    across /= np.linalg.norm(across)
    down = stable[7] - stable[8]
    down -= across * (down @ across)
    down /= np.linalg.norm(down)
    return np.stack([across, down, np.cross(across, down)], axis=1)


def _fit(points: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return rotations ``(frames, 3, 3)`` and scales that lay points on a target (Kabsch)."""
    left, values, right = np.linalg.svd(np.einsum("fni,nj->fij", points, target))
    sign = np.ones((len(points), 3))
    sign[:, 2] = np.sign(np.linalg.det(left @ right))
    rotation = np.einsum("fij,fj,fjk->fik", left, sign, right)
    scale = (values * sign).sum(1) / np.maximum((points**2).sum((1, 2)), 1e-12)
    return rotation, scale


def _angles(rotation: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return turn to the right of the image and nod downwards in degrees, medians removed."""
    outwards = -rotation[:, :, 2]
    turn = np.degrees(np.arctan2(outwards[:, 0], -outwards[:, 2]))
    nod = np.degrees(np.arcsin(np.clip(outwards[:, 1], -1, 1)))
    return turn - np.median(turn), nod - np.median(nod)


def _upright(points: FloatArray) -> FloatArray:
    """Return 68 points turned so that the eyes are level and, by the clip's median, 1 apart."""
    left, right = points[:, LEFT_EYE].mean(1), points[:, RIGHT_EYE].mean(1)
    eyes = right - left
    apart = np.maximum(np.linalg.norm(eyes, axis=1), 1e-6)
    cos, sin = eyes[:, 0] / apart, eyes[:, 1] / apart
    centred = points - ((left + right) / 2)[:, None]
    x = centred[..., 0] * cos[:, None] + centred[..., 1] * sin[:, None]
    y = centred[..., 1] * cos[:, None] - centred[..., 0] * sin[:, None]
    upright: FloatArray = np.stack([x, y], axis=-1) / float(np.median(apart))
    return upright


def _turn_of_nose(points: FloatArray) -> FloatArray:
    offset = points[:, 30, 0] - points[:, [*LEFT_EYE, *RIGHT_EYE], 0].mean(1)
    turn = np.degrees(np.arcsin(np.clip(offset / NOSE_REACH, -1, 1)))
    return np.asarray(turn - np.median(turn))


def _gaze(mesh: FloatArray) -> FloatArray:
    iris = mesh[:, [LEFT_IRIS, RIGHT_IRIS], :2].mean(1)
    corners = mesh[:, [33, 133, 362, 263], :2].mean(1)
    offset = iris - corners
    gaze: FloatArray = offset - np.median(offset, axis=0)
    return gaze
