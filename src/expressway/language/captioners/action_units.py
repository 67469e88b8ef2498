"""Captions without a model: movements measured from landmarks, put into words.

Geometry, not FACS coding: what landmarks do not show (wrinkles, bulging cheeks, tightened lids)
is not seen, and the unit named beside a movement is the nearest one, no coder's verdict.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from expressway.core.config import StrictModel
from expressway.core.errors import RowFailure
from expressway.faces import geometry, movements
from expressway.faces.movements import NEAREST_UNIT, Movement
from expressway.language.captioners import wording
from expressway.language.captioners.base import Description

MODEL = "action_units"
# With fewer frames a face cannot be compared with its own rest, only with faces in general.
OWN_REST_FRAMES = 5
BLINK_SECONDS = 0.5


class ActionUnitsOptions(StrictModel):
    """How movements are told from noise, and how they are worded."""

    present: float = Field(
        default=0.35, gt=0, le=1, description="share of a full movement from which one counts"
    )
    present_in_stills: float = Field(
        default=0.5, gt=0, le=1, description="the same for images, whose own rest is not known"
    )
    head_degrees: float = Field(
        default=8.0, gt=0, description="turn or nod of the head worth telling"
    )
    gaze_shift: float = Field(
        default=0.07, gt=0, description="shift of the irises worth telling, in eye distances"
    )
    seed: int = Field(default=0, description="chooses among wordings, together with the clip's id")


def describe(
    clip_id: str,
    landmarks: Mapping[str, Any],
    options: ActionUnitsOptions,
    as_68: geometry.As68,
) -> Description:
    """Return caption and measurements of a clip.

    Args:
        clip_id: chooses the wording, together with the seed.
        landmarks: a row of the landmarks store.
        options: thresholds and seed.
        as_68: how a dense mesh shows the 68 points.

    Raises:
        RowFailure: ``no_face``: not one frame has landmarks.
    """
    seen = np.flatnonzero(landmarks["valid"])
    if not len(seen):
        raise RowFailure("no_face", "not one frame has landmarks")
    mesh = landmarks["mesh"]
    course = geometry.measure(
        landmarks["points"][seen], mesh[seen] if mesh is not None and len(mesh) else None, as_68
    )
    times = np.asarray(landmarks["time"], np.float64)
    clock = Clock(times[seen] - times[0], np.asarray(landmarks["source_index"])[seen])
    return _described(clip_id, course, clock, options)


class Clock:
    """When the measured frames are: seconds since the clip's start, and indices in the source."""

    def __init__(self, seconds: NDArray[np.float64], frames: NDArray[np.integer]) -> None:
        self.seconds = seconds
        self.frames = frames

    def at(self, position: int | None) -> dict[str, float | int] | None:
        """Return a moment as it stands in the measurements."""
        if position is None:
            return None
        return {
            "seconds": round(float(self.seconds[position]), 3),
            "frame": int(self.frames[position]),
        }


def _described(
    clip_id: str, course: geometry.Course, clock: Clock, options: ActionUnitsOptions
) -> Description:
    still = len(clock.seconds) < OWN_REST_FRAMES
    base = movements.usual_rest(course.distances) if still else movements.own_rest(course.distances)
    level = options.present_in_stills if still else options.present
    courses = movements.strengths(course.distances, base)
    found = movements.find(courses, course.distances, base, level)
    blinks = [] if still else _blinks(courses["eyes_close"], clock, level)
    told = [m for m in found if m.name != "eyes_close" or not blinks]
    scene = wording.Scene(
        clip_id=clip_id,
        times=clock.seconds.tolist(),
        movements=told,
        blinks=len(blinks),
        head=_head(course, options.head_degrees),
        gaze=_gaze(course.gaze, options.gaze_shift),
    )
    measurements = {
        "frames": len(clock.seconds),
        "movements": [_entry(movement, clock) for movement in found],
        "strengths": {name: round(float(values.max()), 3) for name, values in courses.items()},
        "blinks": [clock.at(apex) for apex in blinks],
        "turn_degrees": _range(course.turn),
        "nod_degrees": _range(course.nod),
        "gaze_shift": [round(float(v), 3) for v in np.ptp(course.gaze, axis=0)],
        "distances": _distances(course.distances, base),
    }
    flags = ("rest_assumed",) if still else ()
    return Description(wording.caption(scene, options.seed), flags, measurements)


def _blinks(values: geometry.FloatArray, clock: Clock, level: float) -> list[int]:
    """Return the apex of every closing of the lids that is as short as a blink."""
    under_way = values >= max(movements.EDGE, movements.EDGE * float(values.max()))
    found = []
    for first, beyond in movements.episodes(values, under_way, max(level, movements.SHUT)):
        last = min(beyond, len(clock.seconds) - 1)
        if clock.seconds[last] - clock.seconds[first] <= BLINK_SECONDS:
            found.append(first + int(np.argmax(values[first:beyond])))
    return found


def _entry(movement: Movement, clock: Clock) -> dict[str, Any]:
    return {
        "name": movement.name,
        "nearest_unit": NEAREST_UNIT[movement.name],
        "strength": movement.strength,
        "side": movement.side,
        "onset": clock.at(movement.onset),
        "apex": clock.at(movement.apex),
        "offset": clock.at(movement.offset),
        "episodes": movement.episodes,
    }


def _distances(
    found: Mapping[str, geometry.FloatArray], base: Mapping[str, float]
) -> dict[str, list[float]]:
    """Return name -> at rest, smallest, largest, in eye distances."""
    return {
        name: [round(float(v), 3) for v in (base[name], values.min(), values.max())]
        for name, values in found.items()
    }


def _range(values: geometry.FloatArray) -> list[float]:
    return [round(float(values.min()), 1), round(float(values.max()), 1)]


def _head(course: geometry.Course, least: float) -> str:
    """Return how the head moves most, or nothing when it moves less than ``least`` degrees."""
    turn, nod = _travel(course.turn), _travel(course.nod)
    if max(abs(turn), abs(nod)) < least:
        return ""
    if abs(turn) >= abs(nod):
        return "turns to the right" if turn > 0 else "turns to the left"
    return "tips down" if nod > 0 else "tips up"


def _gaze(gaze: geometry.FloatArray, least: float) -> str:
    across, down = _travel(gaze[:, 0]), _travel(gaze[:, 1])
    if max(abs(across), abs(down)) < least:
        return ""
    if abs(across) >= abs(down):
        return "to the right" if across > 0 else "to the left"
    return "down" if down > 0 else "up"


def _travel(values: geometry.FloatArray) -> float:
    """Return the way between the extremes, negative when the low one comes last."""
    low, high = int(np.argmin(values)), int(np.argmax(values))
    way = float(values[high] - values[low])
    return way if high >= low else -way
