"""Frames of every clip as encoded images, with the facts of the source and what was damaged."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from expressway.core.columns import blobs, frame_list
from expressway.core.errors import RowFailure
from expressway.core.stage import Outcome, Row, RowFunction, Runtime, Stage, StageConfig, failed
from expressway.core.subprocesses import ffmpeg_binary
from expressway.media.decode import decode
from expressway.media.frames import Frames, Settings
from expressway.media.machine.shared_runs import CLIPS_PER_RUN

# The runner stops a hanging row by killing its worker; the decoder must be stopped before that.
OWN_SHARE_OF_TIMEOUT = 0.9


class FramesConfig(StageConfig):
    """Which frames of a clip are kept, and what happens to damaged videos."""

    rate: float | None = Field(
        None, gt=0, description="kept frames per second of display time; none: every frame"
    )
    maximum: int | None = Field(
        None, ge=1, description="largest number of frames kept, evenly spaced; none: no limit"
    )
    damaged: Literal["keep", "drop"] = Field(
        "keep", description="videos that decode in part: keep as degraded, or drop as unreadable"
    )
    quality: int = Field(95, ge=95, le=100, description="of our JPEGs (4:4:4)")
    folder_rate: float = Field(
        25.0, gt=0, description="frames per second that folders of frames are taken to have"
    )
    folder_sort: Literal["natural", "lexicographic"] = Field(
        "natural",
        description="order of a folder's frames: 2.jpg before 10.jpg, or after it (EmoCLIP's)",
    )
    max_pixels: int = Field(
        64_000_000, ge=1, description="larger pictures are unreadable (decompression bombs)"
    )
    timeout_seconds: float = Field(600.0, gt=0, description="longest time for one clip")
    keep: bool = Field(
        True, description="write the frames store; false: decode again wherever frames are read"
    )

    def identity(self) -> dict[str, Any]:
        """Return the values that decide what is computed; where it is stored does not."""
        return {name: value for name, value in super().identity().items() if name != "keep"}

    def manifest_columns(self) -> tuple[str, ...]:
        """Return the columns that say which pixels to read."""
        return ("id", "path", "kind", "start", "end", "sha256")

    def imports(self) -> tuple[str, ...]:
        """Return what reads containers and writes images."""
        return ("av", "cv2", "ffmpeg", "PIL.Image")


def schema(config: FramesConfig) -> pa.Schema:
    """Columns: facts of the source, one row per clip; place, time and bytes of each kept frame."""
    return pa.schema(
        [
            *(pa.field(name, pa.int32()) for name in ("width", "height")),
            *(pa.field(name, pa.float64()) for name in ("fps", "duration")),
            *(pa.field(name, pa.int32()) for name in ("declared_frames", "decoded_frames")),
            *(pa.field(name, pa.int32()) for name in ("decoder_errors", "rotation")),
            *(pa.field(name, pa.string()) for name in ("codec", "container")),
            frame_list("source_index", "int32"),
            frame_list("time", "float64"),
            blobs("images"),
        ]
    )


def open_stage(config: FramesConfig, runtime: Runtime) -> RowFunction:
    """Return the row function.

    Raises:
        SystemicError: there is no ffmpeg.
    """
    ffmpeg_binary()
    settings = Settings(
        rate=config.rate,
        maximum=config.maximum,
        quality=config.quality,
        timeout=config.timeout_seconds * OWN_SHARE_OF_TIMEOUT,
        max_pixels=config.max_pixels,
        folder_rate=config.folder_rate,
        folder_sort=config.folder_sort,
    )

    def compute(rows: Sequence[Row]) -> list[Outcome]:
        clips = [(row.source, row.clip) for row in rows]
        return [_outcome(found, config.damaged) for found in decode(clips, settings)]

    return compute


def _outcome(found: Frames | RowFailure, damaged: str) -> Outcome:
    if isinstance(found, RowFailure):
        return failed(found)
    outcome = _columns(found)
    if found.damage is None:
        return outcome
    if damaged == "drop":
        message = f"{found.damage} (dropped: damaged is set to drop)"
        return failed(RowFailure("unreadable", message))
    return {
        **outcome,
        "status": "degraded",
        "error_type": "Damaged",
        "error_message": found.damage,
    }


def _columns(frames: Frames) -> Outcome:
    return {
        "width": frames.width,
        "height": frames.height,
        "fps": frames.fps,
        "duration": frames.duration,
        "declared_frames": frames.declared,
        "decoded_frames": frames.decoded,
        "decoder_errors": frames.errors,
        "rotation": frames.rotation,
        "codec": frames.codec,
        "container": frames.container,
        "source_index": frames.source_index,
        "time": frames.time,
        "images": frames.images,
    }


def sentence(config: Mapping[str, Any]) -> str:
    """Return what the stage did, for a paper's methods section; ``config`` as in the footer."""
    rate, most = config.get("rate"), config.get("maximum")
    pace = f"at {rate:g} frames per second" if rate else "at their native frame rate"
    limit = f", at most {most} per clip" if most else ""
    return f"Frames were decoded with ffmpeg {pace}{limit}."


STAGE = Stage(
    name="frames",
    summary="Decode the kept frames of every clip, with the facts of its source.",
    config=FramesConfig,
    schema=schema,
    open=open_stage,
    parallel="processes",
    rows=CLIPS_PER_RUN,
    images=True,
    packages=("av", "ffmpeg-python", "imageio-ffmpeg", "opencv-python", "pillow"),
    environment="media",
    memory_mb=2000,
    minutes=120,
    every_core=True,
    order=10,
    sentence=sentence,
    versioned=False,
)
