"""Container facts by PyAV: format, size, rate, and the display time of every packet.

Nothing is decoded but what opening the container takes. The timestamps of a video are read once
per process and file, since the clips of a long recording follow each other in a manifest.
"""

import functools
import stat
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expressway.core.errors import RowFailure

# Formats that hold their own frames; playlists, scripts and devices name other files and stay out.
CONTAINERS = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpegts", "mpeg"),
    *("flv", "live_flv", "asf", "ogg", "gif"),
)
PROTOCOLS = "file,pipe"
DISCARD_FLAG = 2


@dataclass(frozen=True)
class Facts:
    """What a container says about its video.

    Attributes:
        stream: index of the video stream in the file.
        width, height: coded size in pixels, before rotation.
        fps: average frames per second; None where the container has none.
        duration: seconds; None where the container has none.
        declared: frames by the container's own table; None where it has no table.
        container_start: seconds that the container's clock shows at its beginning.
        timestamps: (packets,) display times of all frames found, in ``time_base``, increasing.
        keyframes: (keyframes,) display times of the keyframes among them.
        table: (declared,) times of the container's table, on the clock of ``timestamps``.
    """

    container: str
    codec: str
    pixel_format: str
    stream: int
    width: int
    height: int
    fps: float | None
    duration: float | None
    declared: int | None
    time_base: Fraction
    container_start: float
    timestamps: NDArray[np.int64]
    keyframes: NDArray[np.int64]
    table: NDArray[np.int64]


class ProbeError(RowFailure):
    """PyAV could not open the file; ffmpeg's own sentence may say more."""

    def __init__(self, message: str) -> None:
        super().__init__("unreadable", message)


def facts(path: Path) -> Facts:
    """Return the facts of a video file.

    Raises:
        RowFailure: ``unreadable``: not a regular file, empty, of a container that is not allowed,
            or without a video stream.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise RowFailure("unreadable", f"cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(state.st_mode):
        raise RowFailure("unreadable", "expected a video file, found something else at this path")
    if state.st_size == 0:
        raise RowFailure("unreadable", "the file is empty (0 bytes)")
    return _facts(str(path), state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _facts(path: str, size: int, modified: int) -> Facts:
    import av

    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(CONTAINERS)}
    try:
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            return _read(container)
    except av.error.FFmpegError as error:
        raise ProbeError(str(error.strerror)) from error


def _read(container: Any) -> Facts:
    stream = _video_stream(container)
    timestamps, keyframes = _scan(container, stream)
    table = _table(container, stream)
    if len(table) and len(timestamps):
        table = table + (timestamps[0] - table[0])
    codec = stream.codec_context
    duration = _seconds(stream.duration, stream.time_base)
    return Facts(
        container=container.format.name,
        codec=codec.name,
        pixel_format=codec.pix_fmt or "",
        stream=stream.index,
        width=codec.width,
        height=codec.height,
        fps=float(stream.average_rate) if stream.average_rate else None,
        duration=duration or _seconds(container.duration, Fraction(1, 1_000_000)),
        declared=len(table) or None,
        time_base=stream.time_base,
        container_start=_seconds(container.start_time, Fraction(1, 1_000_000)) or 0.0,
        timestamps=timestamps,
        keyframes=keyframes,
        table=table,
    )


def _seconds(value: int | None, unit: Fraction) -> float | None:
    return None if value is None else float(value * unit)


def _video_stream(container: Any) -> Any:
    for stream in container.streams.video:
        if not stream.disposition & type(stream.disposition).attached_pic:
            return stream
    kinds = sorted({stream.type for stream in container.streams})
    raise RowFailure("unreadable", f"no video stream; the file holds: {', '.join(kinds) or '-'}")


def _scan(container: Any, stream: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the times of all frames and of the keyframes; stop where the data stops."""
    import av

    times, keys = [], []
    try:
        for packet in container.demux(stream):
            time = packet.dts if packet.pts is None else packet.pts
            if not packet.size or packet.is_discard or time is None:
                continue
            times.append(time)
            if packet.is_keyframe:
                keys.append(time)
    except av.error.FFmpegError:
        pass  # what is missing shows in the count
    return np.sort(np.array(times, np.int64)), np.sort(np.array(keys, np.int64))


def _table(container: Any, stream: Any) -> NDArray[np.int64]:
    """Return the times in the container's own table of frames; only MP4 and MOV have one."""
    if not container.format.name.startswith("mov") or not stream.frames:
        return np.zeros(0, np.int64)
    entries = stream.index_entries
    times = [entry.timestamp for entry in entries if not entry.flags & DISCARD_FLAG]
    return np.array(times, np.int64)
