"""An EmoCLIP epoch from cached features against one that recomputes them with ViT-B/32.

Run: python benchmarks/emoclip_epoch.py [--clips 256] [--images 64] [--repeats 3]

Both train the same temporal transformer on the same batches (64 clips, 32 frames each, D = 512).
One takes the frames' features from a shard table through the package's own loader, the other
would run the frozen image tower (random weights: the arithmetic is the same) on 2048 images a
step. The tower is timed on a sample of images and scaled; decoding of the images is left out in
its favour. Times are CPU seconds of all threads, so that other work on the machine matters little.
Ratios are recomputed over cached time per step; above 1 means the cache is faster.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import open_clip
import pyarrow as pa
import torch
from steps import train_step

from expressway import methods
from expressway.core.columns import frame_array, frame_list
from expressway.core.manifest import Clip
from expressway.core.store import ShardWriter
from expressway.data.clips import Batch, ClipDataset, ClipStores, loader
from expressway.data.sampling import EpochSampler
from expressway.methods.base import Context, Method

DIM, FRAMES, WINDOW, BATCH, CAPTIONS = 512, 96, 32, 64, 3
FEATURES = pa.schema(
    [
        frame_list("source_index", "int32"),
        frame_list("valid", "bool"),
        frame_array("features", "float16", 1, DIM),
    ]
)
TEXTS = pa.schema(
    [pa.field("texts", pa.list_(pa.string())), frame_array("embeddings", "float16", DIM)]
)


def main() -> None:
    """Print CPU seconds per step and the ratio, for intended and released widths."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=256, help="clips in an epoch")
    parser.add_argument("--images", type=int, default=64, help="images the tower is timed on")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved repeats")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    print(f"threads {torch.get_num_threads()}, {BATCH} clips x {WINDOW} frames a step")
    steps = arguments.clips // BATCH
    heads = {"intended": emoclip(published=False), "released": emoclip(published=True)}
    found: dict[str, list[float]] = {name: [] for name in ("tower", *heads)}
    with tempfile.TemporaryDirectory() as folder:
        data = stored_clips(Path(folder), arguments.clips)
        for _ in range(arguments.repeats):
            found["tower"].append(tower_seconds(arguments.images) * BATCH * WINDOW)
            for widths, method in heads.items():
                found[widths].append(epoch_seconds(method, batches(data, method)) / steps)
    tower = statistics.median(found["tower"])
    print(f"image tower ViT-B/32: {tower:.1f} s a step ({BATCH * WINDOW} images)")
    for widths, method in heads.items():
        print_ratios(widths, method, found["tower"], found[widths])


def print_ratios(
    widths: str, method: Method, tower: Sequence[float], cached: Sequence[float]
) -> None:
    """Print recomputed over cached time of one repeat after the other, lowest to highest."""
    trained = sum(p.numel() for p in method.parameters())
    ratios = sorted((t + c) / c for t, c in zip(tower, cached, strict=True))
    low, middle, high = ratios[0], statistics.median(ratios), ratios[-1]
    print(
        f"{widths} widths, {trained:,} trained, {statistics.median(cached):.3f} s a step cached; "
        f"recomputed / cached: {low:.0f} {middle:.0f} {high:.0f} (min, median, max)"
    )


def tower_seconds(images: int) -> float:
    """Return CPU seconds per image of a frozen ViT-B/32, after one warm-up batch."""
    logging.getLogger().setLevel(logging.ERROR)  # open_clip warns that the weights are random
    model = open_clip.create_model("ViT-B-32-quickgelu", pretrained=None).eval()
    pixels = torch.randn(images, 3, 224, 224)
    with torch.inference_mode():
        model.encode_image(pixels[:16])
        started = time.process_time()
        for part in pixels.split(16):
            model.encode_image(part)
    return (time.process_time() - started) / images


def emoclip(published: bool) -> Method:
    """Return EmoCLIP at the paper's sizes."""
    recipe = methods.recipe("emoclip", {"published": published, "frame_step": 2})
    return methods.get("emoclip")(recipe, Context(DIM, ("anger", "fear"), "zero_shot"))


def stored_clips(folder: Path, count: int) -> tuple[list[Clip], dict[str, list[Path]]]:
    """Write random features and captions of ``count`` clips as shard tables."""
    random = np.random.default_rng(0)
    clips = [Clip(id=f"clip{index:05d}", path="", captions=("a",)) for index in range(count)]
    paths = {name: folder / f"{name}.parquet" for name in ("visual_features", "text_embeddings")}
    with ShardWriter(paths["visual_features"], FEATURES, {}) as writer:
        for clip in clips:
            writer.write(
                {
                    "clip_id": clip.id,
                    "status": "ok",
                    "source_index": np.arange(FRAMES),
                    "valid": np.ones(FRAMES, dtype=bool),
                    "features": random.standard_normal((FRAMES, 1, DIM)).astype(np.float16),
                }
            )
    with ShardWriter(paths["text_embeddings"], TEXTS, {}) as writer:
        for clip in clips:
            texts = [f"{clip.id} {number}" for number in range(CAPTIONS)]
            vectors = random.standard_normal((CAPTIONS, DIM)).astype(np.float16)
            row = {"clip_id": clip.id, "status": "ok", "texts": texts, "embeddings": vectors}
            writer.write(row)
    return clips, {name: [path] for name, path in paths.items()}


def batches(data: tuple[list[Clip], dict[str, list[Path]]], method: Method) -> Iterable[Batch]:
    """Return the epoch's batches as training reads them."""
    clips, paths = data
    stores = ClipStores(paths, method.stores(method.recipe, "zero_shot", "train"))
    found = ClipDataset(clips, stores, method.sample, "emotion", (), seed=0, training=True)
    return loader(found, EpochSampler(len(found), seed=0), BATCH)


def epoch_seconds(method: Method, epoch: Iterable[Batch]) -> float:
    """Return the CPU seconds of one epoch, after one warm-up step."""
    optimiser = method.optimiser()
    train_step(method, optimiser, next(iter(epoch)))
    started = time.process_time()
    for batch in epoch:
        train_step(method, optimiser, batch)
    return time.process_time() - started


if __name__ == "__main__":
    main()
