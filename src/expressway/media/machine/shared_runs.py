"""Several short videos by one ffmpeg, whose start takes longer than decoding one of them.

What comes is the same, byte for byte, as from a run for each (tests/unit/media/test_together.py).
"""

from collections.abc import Sequence
from contextlib import suppress

from expressway.core.errors import RowFailure
from expressway.media import decoder, video
from expressway.media.decoder import Decoded
from expressway.media.frames import Frames
from expressway.media.video import Stretch

CLIPS_PER_RUN = 8
# Pixels times frames; eight clips of 640x480 and 5 s. Longer ones gain nothing from sharing.
PIXELS_PER_RUN = 400_000_000
# A decoder also holds pictures: a large one weighs more than its few frames.
FRAMES_IN_FLIGHT = 50
# Each clip can still be decoded by itself, so that a run that hangs is given up early.
SECONDS = 60.0


def decode(stretches: Sequence[Stretch]) -> list[Frames | RowFailure]:
    """Return each clip's kept frames, or why there are none."""
    return [found for group in groups(stretches) for found in _decode(group)]


def groups(stretches: Sequence[Stretch]) -> list[list[Stretch]]:
    """Divide clips into runs of ffmpeg: in order, each file once, within the limits above."""
    found: list[list[Stretch]] = []
    for stretch in stretches:
        if found and _fits([*found[-1], stretch]):
            found[-1].append(stretch)
        else:
            found.append([stretch])
    return found


def _fits(group: Sequence[Stretch]) -> bool:
    load = sum(
        one.facts.width * one.facts.height * max(len(one.expected), FRAMES_IN_FLIGHT)
        for one in group
    )
    repeated = len({one.path for one in group}) < len(group)
    return len(group) <= CLIPS_PER_RUN and load <= PIXELS_PER_RUN and not repeated


def _decode(group: Sequence[Stretch]) -> list[Frames | RowFailure]:
    found: list[Frames | RowFailure] = []
    for stretch, first in zip(group, _first_runs(group), strict=True):
        try:
            found.append(video.decode(stretch, first))
        except RowFailure as error:
            found.append(error)
    return found


def _first_runs(group: Sequence[Stretch]) -> Sequence[Decoded | None]:
    """Return a run for all; None for each where it failed, since it does not tell through whom."""
    if len(group) > 1:
        with suppress(RowFailure):
            timeout = min(SECONDS, group[0].settings.timeout)
            runs = decoder.decode([one.planned for one in group], timeout)
            if not any(run.errors for run in runs):
                return runs
    return [None] * len(group)
