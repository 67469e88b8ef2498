"""Shard tables against plain files: writing, random access by clip, and scanning.

Run: python benchmarks/stores.py [--vectors 5000] [--clips 256] [--folder DIR]

Reads come from the page cache of the operating system, so the figures are the cost of the format,
not of the disk. Ratios are ours over plain files; above 1 is faster.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from expressway.core.columns import blobs, frame_array
from expressway.core.store import ShardWriter, Store

WIDTH = 4096
FRAMES = 40
IMAGE_BYTES = 10_000
REPEATS = 3


@dataclass(frozen=True)
class Way:
    """One way to keep rows: how it writes all of them, reads one, and reads all in order."""

    write: Callable[[], Any]
    read: Callable[[str], Any]
    scan: Callable[[], int]


def main() -> None:
    """Print the tables of both kinds of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=5000, help=f"rows of {WIDTH} fp16")
    parser.add_argument("--clips", type=int, default=256, help=f"rows of {FRAMES} images")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        vectors = np.random.default_rng(0).standard_normal((arguments.vectors, WIDTH))
        vector_rows(Path(name) / "vectors", vectors.astype(np.float16))
        image_rows(Path(name) / "images", arguments.clips)


def vector_rows(folder: Path, vectors: np.ndarray) -> None:
    """Compare one fp16 vector per clip: a shard table against one ``.npy`` file per clip."""
    ids = [f"clip{index:06d}" for index in range(len(vectors))]
    fields = pa.schema([frame_array("embeddings", "float16", WIDTH)])
    rows = [{"embeddings": vector[None]} for vector in vectors]
    plain = folder / "npy"
    plain.mkdir(parents=True)

    def scan_files() -> int:
        return sum(np.load(plain / f"{i}.npy").nbytes for i in ids)

    files = Way(
        lambda: [np.save(plain / f"{i}.npy", v) for i, v in zip(ids, vectors, strict=True)],
        lambda clip_id: np.load(plain / f"{clip_id}.npy"),
        scan_files,
    )
    ours = shard_way(folder / "shard.parquet", fields, ids, rows, "embeddings")
    title = f"{len(ids)} vectors of {WIDTH} fp16; plain: one .npy per clip"
    compare(title, ids, vectors.nbytes, ours, files)


def image_rows(folder: Path, clips: int) -> None:
    """Compare the images of clips: an image shard against a folder of files per clip."""
    ids = [f"clip{index:06d}" for index in range(clips)]
    random = np.random.default_rng(1)
    images = [[random.bytes(IMAGE_BYTES) for _ in range(FRAMES)] for _ in ids]
    plain = folder / "jpg"

    def write_files() -> None:
        for clip_id, frames in zip(ids, images, strict=True):
            (plain / clip_id).mkdir(parents=True, exist_ok=True)
            for index, data in enumerate(frames):
                (plain / clip_id / f"{index:05d}.jpg").write_bytes(data)

    def read_files(clip_id: str) -> list[bytes]:
        return [path.read_bytes() for path in sorted((plain / clip_id).iterdir())]

    files = Way(write_files, read_files, lambda: sum(len(d) for i in ids for d in read_files(i)))
    rows = [{"crops": frames} for frames in images]
    fields = pa.schema([blobs("crops")])
    ours = shard_way(folder / "shard.parquet", fields, ids, rows, "crops")
    title = f"{clips} clips of {FRAMES} images of {IMAGE_BYTES} bytes; plain: one file per image"
    compare(title, ids, clips * FRAMES * IMAGE_BYTES, ours, files)


def shard_way(
    path: Path, fields: pa.Schema, ids: Sequence[str], rows: Sequence[Any], column: str
) -> Way:
    """Return how a shard table does it: one clip per row group, as the stages write them."""
    opened: list[Store] = []

    def store() -> Store:
        if not opened:
            opened.append(Store([path]))
        return opened[0]

    def write() -> None:
        opened.clear()
        with ShardWriter(path, fields, {}, images=True) as writer:
            for clip_id, row in zip(ids, rows, strict=True):
                writer.write({"clip_id": clip_id, "status": "ok", **row})

    def read(clip_id: str) -> Any:
        return store().row(clip_id, [column])[column]

    return Way(write, read, lambda: sum(len(read(clip_id)) for clip_id in ids))


def compare(title: str, ids: Sequence[str], size: int, ours: Way, plain: Way) -> None:
    """Time both ways, best of three, and print rows/s, MB/s and the ratio."""
    print(f"\n{title}")
    print(f"{'':14}{'shard rows/s':>14}{'MB/s':>8}{'plain rows/s':>14}{'MB/s':>8}{'ratio':>8}")
    chosen = [ids[index] for index in np.random.default_rng(2).permutation(len(ids))[:500]]
    share = size * len(chosen) / len(ids)
    tasks: list[tuple[str, Callable[[Way], Any], int, float]] = [
        ("write", lambda way: way.write(), len(ids), size),
        ("random access", lambda way: [way.read(i) for i in chosen], len(chosen), share),
        ("scan", lambda way: way.scan(), len(ids), size),
    ]
    for name, task, rows, volume in tasks:
        mine, theirs = best(lambda: task(ours)), best(lambda: task(plain))  # noqa: B023
        line = "".join(f"{rows / s:14,.0f}{volume / s / 1e6:8,.0f}" for s in (mine, theirs))
        print(f"{name:14}{line}{theirs / mine:8.2f}")


def best(task: Callable[[], Any]) -> float:
    """Return the shortest of several wall times in seconds."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
