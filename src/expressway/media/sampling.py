"""Choice of frames by time, or by equal parts: the same on every machine."""

import numpy as np
from numpy.typing import NDArray

# Times come from integer clocks; a microsecond is far below a frame and far above rounding.
TOLERANCE = 1e-6


def choose(
    times: NDArray[np.float64],
    rate: float | None = None,
    maximum: int | None = None,
    end: float | None = None,
) -> NDArray[np.int64]:
    """Return the indices of the kept frames, strictly increasing.

    With a rate, a tick falls every ``1 / rate`` seconds from the start of the clip, and the frame
    on display at each tick is kept once, however many ticks it covers. With a maximum, the clip
    is cut into that many equal runs of the frames left, and the middle of each run is kept.

    Args:
        times: (frames,) display times in seconds from the start of the clip, increasing.
        rate: ticks per second; None keeps every frame.
        maximum: largest number of frames kept; None sets no limit.
        end: length of the clip in seconds; None takes the last frame's time and usual duration.
    """
    kept = np.arange(len(times), dtype=np.int64)
    if rate is not None and len(times):
        kept = _on_display(times, rate, end)
    if maximum is not None and len(kept) > maximum:
        kept = kept[middles(len(kept), maximum)]
    return kept


def middles(count: int, parts: int) -> NDArray[np.int64]:
    """Return (parts,) the middle frame of each of ``parts`` equal parts of ``count`` frames.

    In whole numbers: floor((i + 1/2) * count / parts). With fewer frames than parts some repeat.
    """
    return (2 * np.arange(parts, dtype=np.int64) + 1) * count // (2 * parts)


def _on_display(times: NDArray[np.float64], rate: float, end: float | None) -> NDArray[np.int64]:
    usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    last = float(times[-1]) + usual
    stop = last if end is None else min(last, end)
    count = max(1, int(np.ceil((stop - TOLERANCE) * rate)))
    ticks = np.arange(count) / rate
    shown = np.searchsorted(times, ticks + TOLERANCE, side="right") - 1
    return np.unique(np.maximum(shown, 0)).astype(np.int64)
