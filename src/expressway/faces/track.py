"""Following faces over the frames of a clip, choosing one, filling its gaps.

- Detections are linked where boxes overlap and have about the same size. A scene cut brings no
  overlap, so the face behind it starts a new track.
- One track is chosen by policy. Ties end with the track that began first, then the leftmost.
- Frames without the chosen face are filled by policy and marked as not valid.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from expressway.faces.align import FloatArray
from expressway.faces.detectors.base import Face, overlap

Policy = Literal["longest", "largest", "central"]
Gaps = Literal["hold", "interpolate", "drop"]

# A head does not double its size between two frames; another head often has.
MAXIMUM_SIZE_RATIO = 2.0


@dataclass
class Track:
    """One face over time: ``frames[i]`` is the frame that shows it as ``faces[i]``."""

    number: int
    frames: list[int] = field(default_factory=list)
    faces: list[Face] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def boxes(self) -> FloatArray:
        """``(length, 4)``."""
        return np.stack([face.box for face in self.faces])

    @property
    def area(self) -> float:
        """Mean area of the face's box."""
        boxes = self.boxes.astype(np.float64)
        return float(((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).mean())


def link(
    detections: Sequence[Sequence[Face]],
    times: Sequence[float] | NDArray[np.float64],
    maximum_gap: float = 0.5,
    minimum_overlap: float = 0.3,
) -> list[Track]:
    """Return the tracks of a clip, numbered by first appearance, then from left to right.

    Args:
        detections: the faces of each frame.
        times: seconds of each frame.
        maximum_gap: a face may stay unseen for so many seconds and go on with its track.
        minimum_overlap: intersection over union of linked boxes, at least.
    """
    tracks: list[Track] = []
    for frame, faces in enumerate(detections):
        waiting = [
            track
            for track in tracks
            if track.frames[-1] == frame - 1
            or times[frame] - times[track.frames[-1]] <= maximum_gap
        ]
        linked = _match(waiting, faces, minimum_overlap)
        fresh = sorted(set(range(len(faces))) - set(linked), key=lambda i: float(faces[i].box[0]))
        for index, track in linked.items():
            track.frames.append(frame)
            track.faces.append(faces[index])
        for index in fresh:
            tracks.append(Track(len(tracks), [frame], [faces[index]]))
    return tracks


def _match(
    tracks: Sequence[Track], faces: Sequence[Face], minimum_overlap: float
) -> dict[int, Track]:
    """Return face index -> track, the best overlaps first."""
    pairs = sorted(
        (-overlap(track.faces[-1].box, face.box), track.number, index)
        for track in tracks
        for index, face in enumerate(faces)
        if size_ratio(track.faces[-1].box, face.box) <= MAXIMUM_SIZE_RATIO
    )
    by_number = {track.number: track for track in tracks}
    linked: dict[int, Track] = {}
    for negative, number, index in pairs:
        if -negative >= minimum_overlap and index not in linked and number in by_number:
            linked[index] = by_number.pop(number)
    return linked


def size_ratio(a: FloatArray, b: FloatArray) -> float:
    """Return how many times the larger box is as wide or high as the smaller one."""
    sides = np.maximum([(a[2:] - a[:2]).max(), (b[2:] - b[:2]).max()], 1e-6)
    return float(sides.max() / sides.min())


def choose(tracks: Sequence[Track], policy: Policy, sizes: Sequence[tuple[int, int]]) -> Track:
    """Return the track that a policy prefers; every tie is decided by the next criterion.

    - ``longest``: seen in most frames, then largest, most central, earliest, leftmost.
    - ``largest``: greatest mean box, then longest, most central, earliest, leftmost.
    - ``central``: centre nearest to the frame's, then longest, largest, earliest, leftmost.

    Args:
        tracks: at least one.
        policy: the first criterion.
        sizes: (height, width) of each frame.
    """
    criteria: dict[str, Callable[[Track], float]] = {
        "longest": lambda track: -len(track),
        "largest": lambda track: -track.area,
        "central": lambda track: eccentricity(track, sizes),
    }
    order = [criteria[policy], *(key for name, key in criteria.items() if name != policy)]
    return min(tracks, key=lambda track: (*(key(track) for key in order), track.number))


def eccentricity(track: Track, sizes: Sequence[tuple[int, int]]) -> float:
    """Return the mean distance of a face from the frame's centre, in frame diagonals."""
    extent = np.array([sizes[frame][::-1] for frame in track.frames], np.float64)
    centres = (track.boxes[:, :2] + track.boxes[:, 2:]) / 2
    return float((np.hypot(*(centres - extent / 2).T) / np.hypot(*extent.T)).mean())


def fill(
    values: FloatArray, frames: Sequence[int], times: NDArray[np.float64], gaps: Gaps
) -> FloatArray:
    """Return ``(len(times), ...)`` from the values of some frames.

    ``hold`` repeats the last value before a gap, ``interpolate`` goes straight from one side of
    the gap to the other. Both repeat the first value before it and the last one after it.
    ``drop`` never reads what it gets in gaps; it is filled as by ``hold``.

    Args:
        values: ``(len(frames), ...)``.
        frames: which frames they belong to, rising.
        times: seconds of all frames.
        gaps: the policy.
    """
    known = np.asarray(frames)
    wanted = np.arange(len(times))
    if gaps != "interpolate":
        last = np.searchsorted(known, wanted, side="right") - 1
        return values[np.maximum(last, 0)]
    flat = values.reshape(len(values), -1)
    columns = [np.interp(times, times[known], column) for column in flat.T]
    return np.stack(columns, -1).reshape(len(times), *values.shape[1:]).astype(np.float32)


def coverage(valid: int, frames: int, minimum: float, what: str) -> dict[str, str]:
    """Return the status of a row by its share of valid frames."""
    if valid >= minimum * frames:
        return {"status": "ok"}
    return {
        "status": "degraded",
        "error_type": "Coverage",
        "error_message": f"{what} in {valid} of {frames} frames, "
        f"less than minimum_valid {minimum:g} asks for",
    }
