"""Videos that tell which frame is which: every frame is one grey, brighter than the one before."""

import io
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from expressway.core.subprocesses import ffmpeg_binary

DARKEST = 20
STEP = 4
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "8", "-pix_fmt", "yuv420p")

MakeVideo = Callable[..., Path]


def ffmpeg(*arguments: object, stdin: bytes = b"") -> None:
    """Run ffmpeg for a fixture; its complaints fail the test."""
    command = [ffmpeg_binary(), "-y", "-loglevel", "error", *map(str, arguments)]
    finished = subprocess.run(command, input=stdin, capture_output=True, timeout=120)
    assert finished.returncode == 0, finished.stderr.decode()


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    """Return a function that renders ``count`` grey frames (55 tell apart) into a video file."""

    def make(
        name: str = "clip.mp4",
        *options: object,
        count: int = 50,
        rate: int = 25,
        size: tuple[int, int] = (64, 48),
        codec: Sequence[object] = H264,
    ) -> Path:
        width, height = size
        levels = (DARKEST + STEP * (np.arange(count) % 55)).astype(np.uint8)
        raw = np.repeat(levels, width * height).tobytes()
        path = tmp_path / name
        source = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}", "-r", rate)
        ffmpeg(*source, "-i", "-", *codec, *options, f"file:{path}", stdin=raw)
        return path

    return make


@pytest.fixture
def textured_video(tmp_path: Path) -> Path:
    """Return a fast-start MP4 of 100 moving frames: the kind that half a download leaves usable."""
    path = tmp_path / "textured.mp4"
    source = "testsrc2=size=160x120:rate=25:duration=4"
    ffmpeg("-f", "lavfi", "-i", source, *H264, "-g", 25, "-movflags", "+faststart", path)
    return path


def lay_on_its_side(path: Path) -> Path:
    """Set the flag that phones held upright write: shown a quarter turn clockwise."""
    data = bytearray(path.read_bytes())
    # 40 bytes of version, times, id and duration stand between the box's name and its matrix
    place = data.index(b"tkhd") + 4 + 40
    one, width = 1 << 16, 1 << 30
    data[place : place + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, width)
    turned = path.with_name(f"turned-{path.name}")
    turned.write_bytes(data)
    return turned


def pixels(image: bytes) -> np.ndarray:
    """Return RGB (height, width, 3) of encoded bytes."""
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))


def shown(image: bytes) -> int:
    """Return which frame of a grey video an image shows.

    ffmpeg's quick conversion to RGB comes out by up to two of 255 levels too dark.
    """
    return round((float(pixels(image).mean()) + 1 - DARKEST) / STEP)
