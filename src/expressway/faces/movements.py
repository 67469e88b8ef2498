"""From distances over time to movements: how strong, on which side, from when to when.

A movement's strength is 1 when the face moves as far as a full movement does. It is geometry, not
FACS coding: the action unit named beside a movement is the one that moves the same points most,
and movements that change texture rather than shape (cheeks, dimples, chin) are only guesses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expressway.faces.geometry import FloatArray

Distances = Mapping[str, FloatArray]

# Movement -> the action unit that moves the same points most.
NEAREST_UNIT: dict[str, int] = {
    "inner_brow_raise": 1,
    "outer_brow_raise": 2,
    "brow_lower": 4,
    "lids_widen": 5,
    "cheek_raise": 6,
    "lids_narrow": 7,
    "nose_wrinkle": 9,
    "upper_lip_raise": 10,
    "lip_corners_up": 12,
    "corner_tighten": 14,
    "lip_corners_down": 15,
    "chin_raise": 17,
    "lip_stretch": 20,
    "lip_press": 23,
    "lips_part": 25,
    "jaw_drop": 26,
    "eyes_close": 43,
}

# Distances of faces at rest in eye distances: mean, standard deviation over people. Made wider
# than measured on the demo's development worlds, because real faces differ more.
AT_REST: dict[str, tuple[float, float]] = {
    "inner_brow": (0.40, 0.045),
    "outer_brow": (0.33, 0.04),
    "lid_opening": (0.12, 0.03),
    "lower_lid": (0.06, 0.01),
    "nostril_height": (0.78, 0.045),
    "upper_lip_height": (0.19, 0.04),
    "corner_height": (1.10, 0.07),
    "corner_over_lip": (-0.04, 0.02),
    "lip_gap": (0.0, 0.01),
    "upper_lip_thickness": (0.09, 0.03),
    "lower_lip_thickness": (0.16, 0.03),
    "chin_height": (1.74, 0.10),
    "chin_below_lip": (0.42, 0.06),
    "nose_width": (0.56, 0.03),
    "mouth_width": (0.79, 0.07),
}

# How far a full movement shifts each distance, and how far distances stray by themselves.
# `python benchmarks/captions.py fit` prints what the demo's development worlds say.
MOUTH = (
    "lip_corners_up",
    "lip_corners_down",
    "lip_stretch",
    "lip_press",
    "lips_part",
    "jaw_drop",
    "nose_wrinkle",
    "upper_lip_raise",
    "chin_raise",
)
MOUTH_PATTERNS: dict[str, tuple[float, tuple[float, ...]]] = {
    "nostril_height": (0.009, (-0.04, 0.03, 0.02, 0.00, 0.00, 0.03, -0.02, 0.00, -0.01)),
    "upper_lip_height": (0.013, (-0.05, 0.05, 0.03, 0.06, -0.03, 0.03, 0.04, -0.06, -0.02)),
    "corner_height": (0.013, (-0.16, 0.16, 0.04, 0.01, 0.00, 0.07, 0.03, 0.02, 0.00)),
    "corner_over_lip": (0.007, (-0.08, 0.07, 0.01, 0.00, 0.03, 0.03, 0.01, 0.05, 0.02)),
    "lip_gap": (0.012, (0.00, 0.00, 0.00, 0.00, 0.11, 0.18, 0.00, 0.04, -0.02)),
    "upper_lip_thickness": (0.009, (-0.02, 0.02, -0.02, -0.05, 0.00, -0.03, 0.00, 0.02, 0.02)),
    "lower_lip_thickness": (0.009, (0.01, -0.02, -0.02, -0.05, 0.00, -0.04, -0.02, 0.02, 0.00)),
    "chin_height": (0.022, (0.00, 0.02, 0.00, 0.00, 0.00, 0.17, 0.03, 0.03, -0.02)),
    "chin_below_lip": (0.013, (0.08, -0.05, 0.01, 0.04, -0.09, -0.01, 0.02, 0.00, 0.02)),
    "nose_width": (0.010, (0.09, -0.04, 0.02, -0.02, 0.01, 0.01, 0.03, 0.00, -0.01)),
    "mouth_width": (0.017, (0.21, -0.02, 0.22, -0.11, 0.00, -0.09, 0.02, 0.00, -0.04)),
}
# How strongly the solution is held at zero; without it, opposite movements cancel each other.
MOUTH_DAMPING = 4.0

INNER_BROW, OUTER_BROW = 0.10, 0.11
INNER_BY_OUTER, OUTER_BY_INNER = 0.055, 0.03
LOWERED_BROW = 0.07
# A full raise of the inner ends seldom shows in full: knitted brows hold them down.
SEEN_OF_INNER_RAISE = 0.65
# Closing lids draw the detector's eye corners along, which looks like brows that are lowered at
# their inner and raised at their outer ends.
INNER_BY_CLOSING, OUTER_BY_CLOSING = 0.035, 0.023
WIDE_LIDS, NARROW_LIDS, RAISED_LOWER_LID = 0.045, 0.12, 0.05
TUCKED_CORNER = 0.14
SHUT = 0.5

# The two one-sided distances that tell left from right, and their sign, where there are such.
SIDES: dict[str, tuple[str, str, int]] = {
    "inner_brow_raise": ("inner_brow_left", "inner_brow_right", 1),
    "outer_brow_raise": ("outer_brow_left", "outer_brow_right", 1),
    "brow_lower": ("inner_brow_left", "inner_brow_right", -1),
    "lip_corners_up": ("corner_height_left", "corner_height_right", -1),
    "lip_corners_down": ("corner_height_left", "corner_height_right", 1),
    "corner_tighten": ("mouth_left", "mouth_right", 1),
}
ONE_SIDED = 0.35
# A movement is under way from this share of its apex on.
EDGE = 0.25
EDGE_FRAMES = 4


@dataclass(frozen=True)
class Movement:
    """One movement of a clip; frames count within the clip, None means beyond its ends.

    Attributes:
        strength: at its strongest, 1 for a full movement.
        side: ``both``, ``left`` or ``right`` as seen in the image.
        onset: first frame of the strongest episode; None: under way when the clip starts.
        apex: frame where it is strongest.
        offset: first frame after the strongest episode; None: it lasts to the end.
        episodes: how often it comes.
    """

    name: str
    strength: float
    side: str
    onset: int | None
    apex: int
    offset: int | None
    episodes: int


def own_rest(found: Distances) -> dict[str, float]:
    """Return each distance of a clip's face at rest.

    A clip usually starts or ends near rest: whichever end is nearer to a usual face at rest is
    taken, and what no face at rest looks like is cut off, so that a clip that shows the
    expression throughout still shows one.

    Args:
        found: name -> ``(frames,)``.
    """
    frames = len(found["lid_opening"])
    edge = max(1, min(EDGE_FRAMES, frames // 4))
    ends = [
        {name: float(np.median(values[part])) for name, values in found.items()}
        for part in (slice(0, edge), slice(-edge, None))
    ]
    base = min(ends, key=_strangeness)
    base["lid_opening"] = _open_lids(found["lid_opening"], base["lid_opening"])
    return {name: _plausible(name, value) for name, value in base.items()}


def usual_rest(found: Distances) -> dict[str, float]:
    """Return each distance of faces at rest in general, for clips too short to show their own."""
    means = {name: mean for name, (mean, _) in AT_REST.items()}
    return {name: means.get(name, float(np.median(values))) for name, values in found.items()}


def _strangeness(values: Mapping[str, float]) -> float:
    return sum(
        min(abs(values[name] - mean) / spread, 4.0) for name, (mean, spread) in AT_REST.items()
    )


def _open_lids(opening: FloatArray, at_edge: float) -> float:
    """Blinks are no rest: an edge with lids below the clip's usual opening does not count."""
    usual = float(np.median(opening))
    return usual if at_edge < 0.85 * usual else at_edge


def _plausible(name: str, value: float) -> float:
    if name not in AT_REST:
        return value
    mean, spread = AT_REST[name]
    return float(np.clip(value, mean - 2.5 * spread, mean + 2.5 * spread))


def strengths(found: Distances, base: Mapping[str, float]) -> dict[str, FloatArray]:
    """Return movement -> strength ``(frames,)``, not negative, 1 for a full movement.

    Args:
        found: name -> ``(frames,)`` in eye distances.
        base: name -> the distance at rest.
    """
    moved = {name: _steady(values) - base[name] for name, values in found.items()}
    open_at_rest = base["lid_opening"]
    solved = _brows(moved, open_at_rest) | _lids(moved, open_at_rest) | _mouth(moved)
    solved["corner_tighten"] = _tuck(moved, solved)
    return {name: np.maximum(solved[name], 0.0) for name in NEAREST_UNIT}


def _steady(values: FloatArray) -> FloatArray:
    """Return the running median of three frames: single outliers of the detector go."""
    padded = np.pad(values, 1, mode="edge")
    return np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)


def _brows(moved: Distances, open_at_rest: float) -> dict[str, FloatArray]:
    """Inner and outer end pull each other along: two equations with two unknowns."""
    closed = np.clip(-moved["lid_opening"] / max(open_at_rest, 1e-6), 0.0, 1.0)
    # Taken back only where it shows: what the lids explain is no movement of the brows.
    inner, outer = moved["inner_brow"], moved["outer_brow"]
    inner = inner + np.clip(-inner, 0.0, INNER_BY_CLOSING * closed)
    outer = outer - np.clip(outer, 0.0, OUTER_BY_CLOSING * closed)
    determinant = INNER_BROW * OUTER_BROW - INNER_BY_OUTER * OUTER_BY_INNER
    alone_inner = (OUTER_BROW * inner - INNER_BY_OUTER * outer) / determinant
    alone_outer = (INNER_BROW * outer - OUTER_BY_INNER * inner) / determinant
    return {
        "inner_brow_raise": np.where(alone_outer > 0, alone_inner, inner / INNER_BROW)
        / SEEN_OF_INNER_RAISE,
        "outer_brow_raise": np.where(alone_inner > 0, alone_outer, outer / OUTER_BROW),
        "brow_lower": -inner / LOWERED_BROW,
    }


def _lids(moved: Distances, open_at_rest: float) -> dict[str, FloatArray]:
    change, lower = moved["lid_opening"], moved["lower_lid"]
    closed = -change / max(open_at_rest, 1e-6)
    return {
        "lids_widen": change / WIDE_LIDS,
        "lids_narrow": np.where(closed < SHUT, -change / NARROW_LIDS, 0.0),
        "eyes_close": closed,
        "cheek_raise": np.where(closed < SHUT, -lower / RAISED_LOWER_LID, 0.0),
    }


def _mouth(moved: Distances) -> dict[str, FloatArray]:
    """The least movements, none negative, that together explain the mouth's distances."""
    from scipy.optimize import nnls

    spreads = np.array([spread for spread, _ in MOUTH_PATTERNS.values()])
    patterns = np.array([pattern for _, pattern in MOUTH_PATTERNS.values()]) / spreads[:, None]
    system = np.concatenate([patterns, MOUTH_DAMPING * np.eye(len(MOUTH))])
    shifts = np.stack([moved[name] for name in MOUTH_PATTERNS], axis=1) / spreads
    padding = np.zeros(len(MOUTH))
    solved = np.array([nnls(system, np.concatenate([shift, padding]))[0] for shift in shifts])
    return dict(zip(MOUTH, solved.T, strict=True))


def _tuck(moved: Distances, solved: Distances) -> FloatArray:
    """One corner drawn outwards alone; both together are a stretch or a rise of the corners."""
    difference = np.abs(moved["mouth_left"] - moved["mouth_right"]) / TUCKED_CORNER
    return difference - np.minimum(solved["lip_stretch"], 1.0)


def find(
    courses: Distances, found: Distances, base: Mapping[str, float], present: float
) -> list[Movement]:
    """Return the movements that reach the strength ``present``, strongest first.

    Args:
        courses: movement -> strength ``(frames,)``.
        found: name -> distance ``(frames,)``.
        base: name -> the distance at rest.
        present: share of a full movement.
    """
    movements = [
        _movement(name, values, found, base, present)
        for name, values in courses.items()
        if values.max() >= present
    ]
    return sorted(movements, key=lambda movement: -movement.strength)


def _movement(
    name: str, values: FloatArray, found: Distances, base: Mapping[str, float], present: float
) -> Movement:
    apex = int(np.argmax(values))
    under_way = values >= max(EDGE * values[apex], 0.1)
    before, after = np.flatnonzero(~under_way[:apex]), np.flatnonzero(~under_way[apex:])
    return Movement(
        name=name,
        strength=round(float(values[apex]), 3),
        side=_side(name, apex, found, base),
        onset=int(before[-1]) + 1 if len(before) else None,
        apex=apex,
        offset=apex + int(after[0]) if len(after) else None,
        episodes=len(episodes(values, under_way, present)),
    )


def episodes(
    values: FloatArray, under_way: NDArray[np.bool_], present: float
) -> Sequence[tuple[int, int]]:
    """Return ``(first, beyond)`` of each stretch under way that reaches ``present``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], under_way, [False]]).astype(int)))
    stretches = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [(first, beyond) for first, beyond in stretches if values[first:beyond].max() >= present]


def _side(name: str, apex: int, found: Distances, base: Mapping[str, float]) -> str:
    if name not in SIDES:
        return "both"
    left, right, sign = SIDES[name]
    shifts = [sign * float(_steady(found[side])[apex] - base[side]) for side in (left, right)]
    weak, strong = sorted(shifts)
    if strong <= 0 or weak > ONE_SIDED * strong:
        return "both"
    return "left" if shifts[0] > shifts[1] else "right"
