"""Dynamics of a rendered clip: onset, apex and offset, among blinks, talk and head motion."""

from dataclasses import dataclass

import numpy as np

from expressway.data.demo.face import Moment
from expressway.data.demo.units import INDEX, UNITS, Expression, FloatArray

FPS = 25
SHORTEST, LONGEST = 1.0, 2.0
TALK_CHANCE = 0.5
FLASH_CHANCE = 0.3


@dataclass(frozen=True)
class Script:
    """One clip's motion, frame by frame.

    `sides` (frames, 2, 17) intensities per side of the image, everything included; `pose`
    (frames, 5) and `gaze` (frames, 2) as in `face.Moment`; `talks` and `blinks` say which
    distractors occur.
    """

    sides: FloatArray
    pose: FloatArray
    gaze: FloatArray
    talks: bool
    blinks: bool

    def __len__(self) -> int:
        return len(self.pose)

    def moment(self, frame: int) -> Moment:
        """State of one frame."""
        return Moment(self.sides[frame], self.pose[frame], self.gaze[frame])

    @property
    def truth(self) -> FloatArray:
        """Intensities (frames, 17) of the stronger side, which FACS coders would note."""
        truth: FloatArray = self.sides.max(axis=1)
        return truth


def write_script(rng: np.random.Generator, expression: Expression) -> Script:
    """Draw the motion of a clip of 1 to 2 s in which the expression comes and goes."""
    frames = round(rng.uniform(SHORTEST, LONGEST) * FPS)
    time = np.arange(frames) / FPS
    shown = _envelopes(rng, time) * expression.units
    blinks, talks = _blinks(rng, time), rng.random() < TALK_CHANCE
    noise = np.zeros((frames, len(UNITS)))
    noise[:, INDEX[43]] = blinks
    if talks:
        noise += _talk(rng, time)
    if rng.random() < FLASH_CHANCE:
        noise += _flash(rng, time)
    sides = np.maximum(shown[:, None, :] * expression.sides, noise[:, None, :])
    sides *= 1.0 + 0.06 * _wander(rng, time, len(UNITS))[:, None, :]
    return Script(
        sides=np.clip(sides, 0.0, 1.0),
        pose=_pose(rng, time),
        gaze=_gaze(rng, time),
        talks=bool(talks),
        blinks=bool(blinks.max() > 0.5),
    )


def _ease(time: FloatArray, start: FloatArray | float, length: FloatArray | float) -> FloatArray:
    """From 0 to 1 within `length` seconds after `start`, smoothly."""
    t = np.clip((time - start) / length, 0.0, 1.0)
    eased: FloatArray = t * t * (3.0 - 2.0 * t)
    return eased


def _envelopes(rng: np.random.Generator, time: FloatArray) -> FloatArray:
    """Onset, apex, offset (frames, 17); units start and end at slightly different times."""
    length = float(time[-1])
    count = len(UNITS)
    start = rng.uniform(0.02, 0.24) * length + rng.uniform(-0.05, 0.05, count)
    rise = rng.uniform(0.16, 0.3) * length
    hold = rng.uniform(0.22, 0.42) * length
    fall = rng.uniform(0.16, 0.3) * length + rng.uniform(-0.05, 0.05, count)
    column = time[:, None]
    up = _ease(column, start, rise)
    down = _ease(column, start + rise + hold, np.maximum(fall, 0.08))
    envelope: FloatArray = up * (1.0 - down)
    return envelope


def _blinks(rng: np.random.Generator, time: FloatArray) -> FloatArray:
    """Closure (frames,) of the lids by blinks, about every two seconds."""
    closure = np.zeros(len(time))
    for _ in range(int(rng.poisson(0.5 * time[-1]))):
        middle = rng.uniform(0.0, time[-1])
        width = rng.uniform(0.05, 0.08)
        closure = np.maximum(closure, np.exp(-0.5 * ((time - middle) / width) ** 2))
    return np.where(closure > 0.05, closure, 0.0)


def _talk(rng: np.random.Generator, time: FloatArray) -> FloatArray:
    """Mouth movements of speech (frames, 17) during a stretch of the clip."""
    length = float(time[-1])
    start = rng.uniform(0.0, 0.4) * length
    stop = start + rng.uniform(0.4, 0.9) * length
    window = _ease(time, start, 0.12) * (1.0 - _ease(time, stop, 0.12))
    beat = np.sin(2 * np.pi * rng.uniform(2.6, 4.4) * time + rng.uniform(0, 2 * np.pi))
    slow = np.sin(2 * np.pi * rng.uniform(0.9, 1.8) * time + rng.uniform(0, 2 * np.pi))
    moves = np.zeros((len(time), len(UNITS)))
    moves[:, INDEX[25]] = rng.uniform(0.45, 0.85) * np.clip(0.5 + 0.6 * beat, 0.0, 1.0)
    moves[:, INDEX[26]] = rng.uniform(0.2, 0.55) * np.clip(0.4 + 0.5 * beat + 0.2 * slow, 0.0, 1.0)
    moves[:, INDEX[20]] = rng.uniform(0.1, 0.45) * np.clip(slow, 0.0, 1.0)
    moves[:, INDEX[23]] = rng.uniform(0.1, 0.45) * np.clip(-slow, 0.0, 1.0)
    moves[:, INDEX[17]] = rng.uniform(0.0, 0.35) * np.clip(-beat - 0.3, 0.0, 1.0)
    return moves * window[:, None]


_FLASHES: tuple[tuple[int, ...], ...] = ((1, 2), (4,), (23, 17), (14,), (5,), (7,), (15, 17))


def _flash(rng: np.random.Generator, time: FloatArray) -> FloatArray:
    """A short movement (frames, 17) that has nothing to do with the expression."""
    units = _FLASHES[int(rng.integers(len(_FLASHES)))]
    middle, width = rng.uniform(0.1, 0.9) * time[-1], rng.uniform(0.06, 0.13)
    course = rng.uniform(0.3, 0.65) * np.exp(-0.5 * ((time - middle) / width) ** 2)
    moves = np.zeros((len(time), len(UNITS)))
    for unit in units:
        moves[:, INDEX[unit]] = course
    return moves


def _wander(rng: np.random.Generator, time: FloatArray, count: int) -> FloatArray:
    """Slow random courses (frames, count) with a spread of about 1."""
    speed = rng.uniform(0.3, 1.3, (2, count))
    phase = rng.uniform(0.0, 2 * np.pi, (2, count))
    course: FloatArray = np.sin(2 * np.pi * speed * time[:, None, None] + phase).sum(axis=1)
    return course


_POSE_REST = np.array([6.0, 3.5, 3.5, 2.0, 2.0])
_POSE_MOTION = np.array([2.2, 1.6, 1.3, 1.2, 1.0])


def _pose(rng: np.random.Generator, time: FloatArray) -> FloatArray:
    rest = np.clip(rng.normal(0.0, _POSE_REST), -2.2 * _POSE_REST, 2.2 * _POSE_REST)
    course: FloatArray = rest + _POSE_MOTION * _wander(rng, time, 5)
    return course


def _gaze(rng: np.random.Generator, time: FloatArray) -> FloatArray:
    """Fixations with jumps between them (frames, 2), mm on the eyeball."""
    jumps = np.cumsum(rng.random(len(time)) < 1.2 / FPS)
    targets = rng.normal(0.0, (1.5, 0.7), (int(jumps[-1]) + 1, 2))
    gaze: FloatArray = targets[jumps]
    return gaze
