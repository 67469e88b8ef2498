"""Turn clips of a world into H.264 videos and JPEG stills, with the truth beside them."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from expressway.core import columns, files, store
from expressway.core.manifest import Clip
from expressway.data.demo.canvas import Image, one_thread
from expressway.data.demo.dynamics import FPS
from expressway.data.demo.face import draw
from expressway.data.demo.units import UNIT_NAMES, FloatArray
from expressway.data.demo.world import Performance, number_of, performance, still

TRUTH_SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        columns.frame_array("intensities", "float32", len(UNIT_NAMES)),
    ]
)


def render_clips(
    rows: Iterable[Clip | str],
    seed: int,
    root: Path,
    truth: Path,
    workers: int = 1,
    footer: Mapping[str, Any] | None = None,
) -> None:
    """Render one shard of a world; videos and stills appear atomically, the truth table last.

    Args:
        rows: manifest rows, or ids (`demo-00012`, `still-00003`) with their default paths.
        seed: the world's seed.
        root: the data set's folder, where the paths of the rows start.
        truth: the Parquet file to write: per clip the intensities (frames, 17) of all action
            units as they were drawn, distractors included; unit names stand in the footer.
        workers: processes.
        footer: what the file is to say of itself beside that.
    """
    places = [
        (row, default_path(row)) if isinstance(row, str) else (row.id, row.path) for row in rows
    ]
    ids = [name for name, _ in places]
    paths = [root / path for _, path in places]
    intensities = _render_all(seed, ids, paths, workers)
    arrays = [
        pa.array(ids, pa.string()),
        columns.to_arrow(intensities, TRUTH_SCHEMA.field("intensities")),
    ]
    table = pa.Table.from_arrays(arrays, schema=TRUTH_SCHEMA)
    facts = {"seed": seed, "units": list(UNIT_NAMES), "fps": FPS}
    store.write_table(truth, table, {**facts, **(footer or {})})


def default_path(name: str) -> str:
    """Where a clip lies under its data set's root."""
    prefix, _ = number_of(name)
    return f"clips/{name}.mp4" if prefix == "demo" else f"images/{name}.jpg"


def _render_all(seed: int, ids: list[str], paths: list[Path], workers: int) -> list[FloatArray]:
    work = partial(render, seed)
    if workers <= 1:
        return list(map(work, ids, paths))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(work, ids, paths))


def render(seed: int, name: str, path: Path) -> FloatArray:
    """Render one clip or still to a file.

    Returns:
        Intensities (frames, 17), float32, of the frames in the file.
    """
    prefix, number = number_of(name)
    with one_thread():
        return _render(seed, prefix, number, path)


def _render(seed: int, prefix: str, number: int, path: Path) -> FloatArray:
    if prefix == "demo":
        shown = performance(seed, number)
        encode(frames(shown), path)
        return shown.script.truth.astype(np.float32)
    shown = still(seed, number)
    moment = peak(shown)
    save_still(frame(shown, moment), path)
    return shown.script.truth[moment : moment + 1].astype(np.float32)


def frames(shown: Performance) -> Iterator[Image]:
    """All frames (height, width, 3), RGB, of a clip."""
    for number in range(len(shown.script)):
        yield frame(shown, number)


def frame(shown: Performance, number: int) -> Image:
    """One frame (height, width, 3), RGB."""
    image, _ = draw(shown.identity, shown.scene, shown.script.moment(number))
    return image


def peak(shown: Performance) -> int:
    """The frame in which the expression is strongest."""
    return int(np.argmax(shown.script.truth @ shown.expression.units))


def save_still(image: Image, path: Path) -> None:
    """Write a JPEG atomically."""
    import cv2

    bgr = np.ascontiguousarray(image[:, :, ::-1])
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())


def encode(images: Iterable[Image], path: Path) -> None:
    """Write frames as an H.264 video, yuv420p, atomically.

    By the x264 inside PyAV, not by the machine's ffmpeg: the same frames give the same file on
    every machine. One thread, and no macroblock tree, which reads memory that nobody wrote.
    """
    import av

    stack = list(images)
    height, width = stack[0].shape[:2]
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        files.atomic_path(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"fflags": "+bitexact"}) as container,
    ):
        options = {"crf": "17", "preset": "veryfast", "x264-params": "mbtree=0"}
        stream = container.add_stream("libx264", FPS, {**options, "flags": "+bitexact"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.thread_count = 1
        for image in stack:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
