"""Videos: ffmpeg decodes, this module chooses the frames and judges what came.

The exit code is no evidence: half of an MP4 decodes with exit code 0. What counts is the number
of frames that left the decoder, held against the container's own table, and the error lines.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from expressway.core.errors import RowFailure
from expressway.media import decoder, probe, sampling
from expressway.media.decoder import Decoded, Request
from expressway.media.frames import Frames, Settings, check_pixels

# Beyond this, choosing inside ffmpeg costs more per frame than the conversion that it saves.
MAX_SELECTED = 256
USUAL_RATE = 25.0

Ticks = NDArray[np.int64]


def open_stretch(
    path: Path, start: float | None, end: float | None, settings: Settings
) -> "Stretch":
    """Return a clip as its container has it: ``start <= time < end`` from the first frame.

    Raises:
        RowFailure: ``unreadable``.
    """
    try:
        facts = probe.facts(path)
    except probe.ProbeError as error:
        sentence = decoder.complaint(path, settings)
        raise RowFailure("unreadable", sentence or str(error)) from None
    check_pixels(facts.width, facts.height, settings.max_pixels)
    return Stretch(path, facts, settings, start or 0.0, end)


def decode(stretch: "Stretch", first: Decoded | None = None) -> Frames:
    """Return the kept frames of a clip, from its ``planned`` run of ffmpeg if there was one.

    Raises:
        RowFailure: ``unreadable`` when no frame can be decoded, ``timeout``.
    """
    deadline = time.monotonic() + stretch.settings.timeout
    if first is None:
        [first] = decoder.decode([stretch.planned], stretch.settings.timeout)
    decoded = _settled(stretch, first, deadline)
    if not decoded.images:
        raise RowFailure("unreadable", _nothing(stretch, decoded))
    return _frames(stretch, decoded)


@dataclass(frozen=True)
class Stretch:
    """The part of a video that a clip covers: ``start`` and ``end`` from the first frame."""

    path: Path
    facts: probe.Facts
    settings: Settings
    start: float
    end: float | None

    @cached_property
    def origin(self) -> int:
        """Return the tick of the first frame."""
        return int(self.facts.timestamps[0]) if len(self.facts.timestamps) else 0

    @cached_property
    def low(self) -> int | None:
        """Return the first tick inside; None at the beginning of the video."""
        return self._ticks(self.start) if self.start else None

    @cached_property
    def high(self) -> int | None:
        """Return the first tick behind; None where the clip has no end of its own."""
        return None if self.end is None else self._ticks(self.end)

    @cached_property
    def expected(self) -> Ticks:
        """Return the times of the frames that the container holds in this stretch."""
        return self.within(self.facts.timestamps)

    def within(self, ticks: Ticks) -> Ticks:
        """Return those of the increasing ``ticks`` that lie inside."""
        first = 0 if self.low is None else int(np.searchsorted(ticks, self.low))
        last = len(ticks) if self.high is None else int(np.searchsorted(ticks, self.high))
        return ticks[first:last]

    def seconds(self, ticks: Sequence[int | None]) -> NDArray[np.float64]:
        """Return seconds from the first frame; frames without a time follow at the usual rate."""
        unit = float(self.facts.time_base)
        step = 1.0 / (self.facts.fps or USUAL_RATE)
        return np.array(
            [
                self.start + ordinal * step if tick is None else (tick - self.origin) * unit
                for ordinal, tick in enumerate(ticks)
            ]
        )

    def choose(self, ticks: Sequence[int | None]) -> NDArray[np.int64]:
        """Return which of the frames at ``ticks`` are kept."""
        times = self.seconds(ticks) - self.start
        length = None if self.end is None else self.end - self.start
        return sampling.choose(times, self.settings.rate, self.settings.maximum, length)

    @cached_property
    def chosen(self) -> NDArray[np.int64]:
        """Return which of the expected frames are kept."""
        return self.choose(self.expected.tolist())

    @cached_property
    def planned(self) -> Request:
        """Return what ffmpeg is asked for as long as it finds what the container promises."""
        seek = self.keyframe()
        if len(self.chosen) == len(self.expected):
            return self.request(seek=seek)
        if len(self.chosen) <= MAX_SELECTED:
            return self.request(selected=self.expected[self.chosen], seek=seek)
        return self.request(wanted=self.chosen, seek=seek)

    def keyframe(self) -> float | None:
        """Return where to start reading, in container seconds; None: at the beginning."""
        if self.low is None:
            return None
        before = self.facts.keyframes[self.facts.keyframes <= self.low]
        if not len(before) or before[-1] <= self.origin:
            return None
        # a millisecond more, so that rounding does not fall on the keyframe before
        return float(before[-1] * self.facts.time_base) - self.facts.container_start + 0.001

    def request(
        self,
        wanted: NDArray[np.int64] | None = None,
        selected: Ticks | None = None,
        seek: float | None = None,
    ) -> Request:
        """Return what ffmpeg is asked for."""
        return Request(
            path=self.path,
            stream=self.facts.stream,
            settings=self.settings,
            low=self.low,
            high=self.high,
            wanted=None if wanted is None else frozenset(wanted.tolist()),
            selected=None if selected is None else selected.tolist(),
            seek=seek,
        )

    def _ticks(self, seconds: float) -> int:
        """Return the first tick at or after a time; times are written with microseconds at most."""
        exact = Fraction(seconds).limit_denominator(1_000_000)
        return self.origin + math.ceil(exact / self.facts.time_base)


def _settled(stretch: Stretch, first: Decoded, deadline: float) -> Decoded:
    """Return the first run where it went as planned; else plan anew, by the times that it saw.

    So a damaged video gives the same evenly spaced frames on every run. The second run starts at
    the beginning of the file.
    """
    settings, sought = stretch.settings, stretch.planned.seek is not None
    promised = first.times == stretch.expected.tolist()
    # behind an inexact seek the decoder complains of references that it never saw
    if promised and len(first.images) == len(stretch.chosen) and not (sought and first.errors):
        first.ordinals = stretch.chosen.tolist()
        return first
    if settings.rate is None and settings.maximum is None and not sought:
        return first
    if sought:
        nothing = stretch.request(wanted=np.zeros(0, np.int64))
        [first] = decoder.decode([nothing], deadline - time.monotonic())
    again = stretch.request(wanted=stretch.choose(first.times))
    return decoder.decode([again], deadline - time.monotonic())[0]


def _frames(stretch: Stretch, decoded: Decoded) -> Frames:
    facts = stretch.facts
    declared = _declared(stretch)
    # a frame that ffmpeg announced may be missing from its output when the run was cut short
    kept = [ordinal for ordinal in decoded.ordinals if ordinal < len(decoded.times)]
    return Frames(
        width=decoded.size[0],
        height=decoded.size[1],
        fps=facts.fps,
        duration=facts.duration,
        declared=declared,
        decoded=len(decoded.times),
        errors=decoded.errors,
        rotation=decoded.rotation,
        codec=facts.codec,
        container=facts.container,
        source_index=_source_indices(stretch, decoded.times)[kept],
        time=stretch.seconds(decoded.times)[kept],
        images=decoded.images[: len(kept)],
        damage=_damage(stretch, decoded, declared),
    )


def _source_indices(stretch: Stretch, ticks: Sequence[int | None]) -> NDArray[np.int32]:
    """Return places in the source; frames that the container does not know are counted on."""
    known = stretch.facts.timestamps
    first = 0 if stretch.low is None else int(np.searchsorted(known, stretch.low))
    counted = np.arange(first, first + len(ticks), dtype=np.int32)
    if not len(known) or None in ticks:
        return counted
    seen = np.array(ticks, np.int64)
    places = np.minimum(np.searchsorted(known, seen), len(known) - 1)
    exact = np.array_equal(known[places], seen) and bool((np.diff(places) > 0).all())
    return places.astype(np.int32) if exact else counted


def _declared(stretch: Stretch) -> int | None:
    """Return how many frames the container's table puts into the stretch."""
    facts = stretch.facts
    if facts.declared is None:
        return None
    found = len(facts.timestamps)
    reaches = stretch.high is not None and found and stretch.high <= facts.timestamps[-1]
    if found == facts.declared or reaches:
        return len(stretch.expected)
    # packets are missing, and with them their display times: the table's times stand in
    return len(stretch.within(facts.table))


def _damage(stretch: Stretch, decoded: Decoded, declared: int | None) -> str | None:
    expected = len(stretch.expected) if declared is None else declared
    if len(decoded.times) == expected and not decoded.errors:
        return None
    message = f"decoded {len(decoded.times)} of {expected} frames"
    if decoded.errors:
        message += f", {decoded.errors} decoder errors, the first: {decoded.sentences[0]}"
    return message


def _nothing(stretch: Stretch, decoded: Decoded) -> str:
    facts = stretch.facts
    if len(facts.timestamps) and not len(stretch.expected):
        until = "the end" if stretch.end is None else f"{stretch.end:g} s"
        return (
            f"no frame between {stretch.start:g} s and {until}; "
            f"the video holds {len(facts.timestamps)} frames in {facts.duration or 0:g} s"
        )
    return "; ".join(dict.fromkeys(decoded.sentences)) or "the decoder gave no frame"
