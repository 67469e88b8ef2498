"""One run of ffmpeg: its arguments, the pictures that it sends, what it says meanwhile."""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expressway.core.errors import RowFailure
from expressway.core.subprocesses import check_ffmpeg, ffmpeg_binary, run
from expressway.media.frames import Settings, encode_bgr
from expressway.media.probe import CONTAINERS, PROTOCOLS

GLOBAL_OPTIONS = (
    *("-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+info"),
    # our filters have nothing to share among threads; by default each graph starts one per core
    *("-filter_threads", "1"),
)
SHOWN = re.compile(r"frame:\d+ +pts:(-?\d+|NOPTS) ")
DESCRIBED = re.compile(r"\[info\] (Input|Output) #(\d+), ")
ROTATION = re.compile(r"rotation of (-?[\d.]+) degrees")
SEVERITY = re.compile(r"(?:\[[^]]*@ [^]]*\] )*\[(error|fatal|panic)\] ")
OUTPUT = "image2pipe @"
# Targa without compression: a picture names its size, and its colours come as OpenCV takes them.
HEADER = struct.Struct("<12sHH2s")
HEADER_START, HEADER_END = b"\0\0\2" + bytes(9), b"\x18\x20"
FOOTER_BYTES = 26
KEPT_ERRORS = 4


@dataclass(frozen=True)
class Request:
    """What to decode.

    Attributes:
        stream: index of the video stream in the file.
        low, high: ``low <= time < high`` in ticks of the stream's clock; None sets no bound.
        wanted: ordinals, within the bounds, of the frames to encode; None encodes all.
        selected: times of the only frames that ffmpeg sends; None sends all.
        seek: container seconds at which reading starts; None reads from the beginning.
    """

    path: Path
    stream: int
    settings: Settings
    low: int | None = None
    high: int | None = None
    wanted: frozenset[int] | None = None
    selected: Sequence[int] | None = None
    seek: float | None = None


@dataclass
class Decoded:
    """What one run of ffmpeg gave.

    Attributes:
        times: display times of all frames within the bounds, kept or not, in stream ticks.
        images, ordinals: JPEG bytes of the kept frames, and their places among the frames sent.
        size: width and height of the upright picture.
        rotation: degrees counter-clockwise, applied.
        errors: number of error lines; ``sentences`` holds the first of them.
    """

    times: list[int | None] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)
    ordinals: list[int] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)
    rotation: int = 0
    errors: int = 0
    sentences: list[str] = field(default_factory=list)


def decode(requests: Sequence[Request], timeout: float) -> list[Decoded]:
    """Run ffmpeg once for all requests, of different files; how it ended shows in the counts.

    ffmpeg does not say which of several inputs it complains of: an error then counts for each.

    Raises:
        RowFailure: ``timeout``; ``unreadable`` for pictures that no JPEG can hold.
        SystemicError: ffmpeg does not start.
    """
    decoded = [Decoded() for _ in requests]
    listener = _Listener(decoded)
    finished = run(
        partial(arguments, requests),
        timeout,
        listener.read,
        [_Pictures(*pair) for pair in zip(decoded, requests, strict=True)],
        [partial(_note_time, one.times) for one in decoded],
    )
    if finished.code and not any(one.times or one.errors for one in decoded):
        check_ffmpeg()
    if finished.code < 0:
        listener.read(f"[fatal] ffmpeg was killed by signal {-finished.code}")
    elif finished.code and len(requests) > 1:
        listener.read(f"[fatal] ffmpeg ended with exit code {finished.code}")
    return decoded


def arguments(
    requests: Sequence[Request], pictures: Sequence[int], notes: Sequence[int]
) -> list[str]:
    """Return ffmpeg's argument list; ffmpeg-python builds and escapes it, no shell reads it.

    Args:
        requests: what to decode.
        pictures, notes: the file numbers to which each request's pictures and times are written.
    """
    import ffmpeg

    nodes = [_node(*one) for one in zip(requests, pictures, notes, strict=True)]
    return [ffmpeg_binary(), *GLOBAL_OPTIONS, *ffmpeg.get_args(ffmpeg.merge_outputs(*nodes))]


def _node(request: Request, pictures: int, notes: int) -> Any:
    import ffmpeg

    options = _input_options(request.settings)
    if request.seek is not None:
        options |= {"ss": f"{request.seek:.6f}", "noaccurate_seek": None}
    stream = ffmpeg.input(f"file:{request.path}", **options)[str(request.stream)]
    return stream.output(
        f"pipe:{pictures}",
        # a graph for each clip: ffmpeg builds one anew when a video changes its size
        vf=_filters(request, notes),
        format="image2pipe",
        vcodec="targa",
        rle=0,
        pix_fmt="bgr24",
        fps_mode="passthrough",
    )


def _filters(request: Request, notes: int) -> str:
    """Return the filters of a clip; they hold numbers only, nothing that wants escaping."""
    bounds = {"start_pts": request.low, "end_pts": request.high}
    given = [f"{name}={value}" for name, value in bounds.items() if value is not None]
    found = [f"trim={':'.join(given)}"] if given else []
    # the times of all frames, kept or not; frames are only noted when they carry some metadata
    found += ["metadata=add:key=seen:value=1", f"metadata=print:file=/dev/fd/{notes}"]
    if request.selected is not None:
        found.append(f"select='{'+'.join(f'eq(pts,{tick})' for tick in request.selected)}'")
    return ",".join(found)


def complaint(path: Path, settings: Settings) -> str:
    """Return what ffmpeg says about a file that cannot be opened; empty if it says nothing."""
    import ffmpeg

    node = ffmpeg.input(f"file:{path}", **_input_options(settings)).output("-", format="null")
    decoded = Decoded()
    command = [ffmpeg_binary(), *GLOBAL_OPTIONS, *ffmpeg.get_args(node)]
    run(command, settings.timeout, _Listener([decoded]).read)
    lines = [line for line in decoded.sentences if not line.startswith("Error opening input file")]
    return "; ".join(dict.fromkeys(lines))


def _input_options(settings: Settings) -> dict[str, Any]:
    return {
        "protocol_whitelist": PROTOCOLS,
        "format_whitelist": ",".join(CONTAINERS),
        "max_pixels": settings.max_pixels,
        "threads": settings.threads,
        "copyts": None,
    }


def _note_time(times: list[int | None], line: str) -> None:
    """Take one line of notes: the time of a frame, or that it was seen."""
    if shown := SHOWN.match(line):
        times.append(None if shown[1] == "NOPTS" else int(shown[1]))


class _Listener:
    """Reads what ffmpeg says on standard error: errors, and how its sources are turned."""

    def __init__(self, decoded: Sequence[Decoded]) -> None:
        self.all = decoded
        self.places = {("Input", str(place)): one for place, one in enumerate(decoded)}
        self.described: Decoded | None = None

    def read(self, line: str) -> None:
        """Take one line."""
        if severity := SEVERITY.match(line):
            if OUTPUT in line[: severity.end()]:
                return  # uneven times trouble ffmpeg 5's image writer; they are no damage
            self._count(line[severity.end() :])
        elif described := DESCRIBED.match(line):
            self.described = self.places.get((described[1], described[2]))
        elif self.described and (rotation := ROTATION.search(line)):
            self.described.rotation, self.described = round(float(rotation[1])) % 360, None

    def _count(self, sentence: str) -> None:
        for one in self.all:
            one.errors += 1
            if len(one.sentences) < KEPT_ERRORS:
                one.sentences.append(sentence)


class _Pictures:
    """Cuts ffmpeg's output into pictures; each says its own size, so nothing is assumed.

    Output is read to where it stays until it is encoded: one buffer as large as a picture.
    """

    def __init__(self, decoded: Decoded, request: Request) -> None:
        self.decoded = decoded
        self.wanted = request.wanted
        self.quality = request.settings.quality
        self.buffer = bytearray(HEADER.size)
        self.filled = 0
        self.received = 0

    def room(self) -> memoryview:
        """Return where the next piece goes; up to the end of a picture of the last one's size."""
        return memoryview(self.buffer)[self.filled :]

    def feed(self, piece: memoryview) -> None:
        """Take the next piece, which stands in ``room`` already."""
        self.filled += len(piece)
        while self.filled >= HEADER.size:
            start, width, height, end = HEADER.unpack_from(self.buffer)
            if (start, end) != (HEADER_START, HEADER_END):
                raise RowFailure("unreadable", "ffmpeg did not answer with pictures")
            size = HEADER.size + 3 * width * height + FOOTER_BYTES
            if self.filled < size:
                self._make_room(size)
                return
            flat = np.frombuffer(self.buffer, np.uint8, 3 * width * height, HEADER.size)
            self._keep(flat.reshape(height, width, 3))
            # behind a larger picture may stand the beginning of a smaller one
            self.buffer[: self.filled - size] = self.buffer[size : self.filled]
            self.filled -= size

    def _make_room(self, size: int) -> None:
        if len(self.buffer) != size:
            kept = self.buffer[: self.filled]
            self.buffer = bytearray(size)
            self.buffer[: self.filled] = kept

    def _keep(self, picture: NDArray[np.uint8]) -> None:
        if self.wanted is None or self.received in self.wanted:
            self.decoded.size = (picture.shape[1], picture.shape[0])
            self.decoded.images.append(encode_bgr(picture, self.quality))
            self.decoded.ordinals.append(self.received)
        self.received += 1
