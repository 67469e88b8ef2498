"""An Exp-CLIP epoch from cached vectors against one that asks CLIP and the teacher in every step.

Run: python benchmarks/expclip_epoch.py [--images 16] [--repeats 3] [--paper-epochs 5]

Both take the same steps: 512 images, D = 512, a teacher of width 512. One reads both vectors from
shard tables through the package's own loader. The other would run ViT-B/32 on the images, a
Q-Former on its patch tokens and a T5 encoder of flan-t5-small's measures on 32 image and 30 text
tokens (random weights: the arithmetic is the same); these are timed on a few images and scaled.
Decoding and the teacher's own vision tower are left out in their favour. Times are CPU seconds of
all threads, so that other work on the machine matters little. The ratio is recomputed over cached
time per step; above 1 means the cache is faster.

Then the head at the paper's size: 48,995 images, 512 -> 4096, also in seconds of the clock.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import open_clip
import pyarrow as pa
import torch
import transformers
from steps import train_step

from expressway import methods
from expressway.core.columns import frame_array, frame_list
from expressway.core.manifest import Clip
from expressway.core.store import ShardWriter
from expressway.data.clips import Batch, ClipDataset, ClipStores, loader
from expressway.data.sampling import EpochSampler
from expressway.methods.base import Context, Method

DIM, BATCH, SHARD = 512, 512, 4096
QUERIES, WORDS, PATCHES, WIDTH = 32, 30, 50, 768
SMALL, PAPER = 512, 4096
PAPER_IMAGES = 48_995


def main() -> None:
    """Print CPU seconds per step and the ratio, then the head's time at the paper's size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=16, help="images the towers are timed on")
    parser.add_argument("--repeats", type=int, default=3, help="of the comparison, interleaved")
    parser.add_argument("--paper-epochs", type=int, default=5, help="epochs at the paper's size")
    arguments = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)  # open_clip warns that the weights are random
    torch.manual_seed(0)
    print(f"threads {torch.get_num_threads()}, {BATCH} images a step")
    compare(arguments.images, arguments.repeats)
    if arguments.paper_epochs:
        paper_size(arguments.paper_epochs)


def compare(images: int, repeats: int) -> None:
    """Print what a step costs with and without the caches, and the ratio of both."""
    towers = {"ViT-B/32": vision(), "Q-Former": qformer(), "T5 encoder": t5()}
    found: dict[str, list[float]] = {name: [] for name in (*towers, "cached")}
    with tempfile.TemporaryDirectory() as folder:
        epoch, method = prepared(Path(folder), 8 * BATCH, SMALL)
        for _ in range(repeats):
            for name, tower in towers.items():
                found[name].append(BATCH * per_image(tower, images))
            found["cached"].append(epoch_seconds(method, epoch)[0] / len(epoch))
    for name, seconds in found.items():
        print(f"{name:<12} {statistics.median(seconds):>9.4f} s a step")
    ratios = sorted(sum(each) / each[-1] for each in zip(*found.values(), strict=True))
    low, middle, high = ratios[0], statistics.median(ratios), ratios[-1]
    print(f"recomputed / cached: {low:.0f} {middle:.0f} {high:.0f} (min, median, max; aim 100)")


def paper_size(epochs: int) -> None:
    """Print the time of the head at the paper's size, reading apart from training."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        epoch, method = prepared(Path(folder), PAPER_IMAGES, PAPER)
        made = time.perf_counter() - started
        found = [epoch_seconds(method, epoch) for _ in range(epochs)]
    cpu, clock = (sum(times) for times in zip(*found, strict=True))
    print(
        f"paper size: {PAPER_IMAGES} images, {DIM} -> {PAPER}, {epochs} epochs of {len(epoch)} "
        f"steps: {clock:.0f} s of the clock, {cpu:.0f} CPU s "
        f"(writing and reading the random caches before: {made:.0f} s)"
    )


Tower = Callable[[int], object]


def per_image(tower: Tower, images: int) -> float:
    """Return CPU seconds per image, after a warm-up."""
    with torch.inference_mode():
        tower(images)
        started = time.process_time()
        tower(images)
    return (time.process_time() - started) / images


def vision() -> Tower:
    """Return a frozen ViT-B/32 as a function of the number of images."""
    model = open_clip.create_model("ViT-B-32-quickgelu", pretrained=None).eval()
    return lambda images: model.encode_image(torch.randn(images, 3, 224, 224))


def qformer() -> Tower:
    """Return a Q-Former of BLIP-2's measures that reads the patch tokens of ViT-B/32."""
    config = transformers.Blip2QFormerConfig(encoder_hidden_size=WIDTH)
    model = transformers.Blip2QFormerModel(config).eval()
    return lambda images: model(
        query_embeds=torch.randn(images, QUERIES, config.hidden_size),
        encoder_hidden_states=torch.randn(images, PATCHES, WIDTH),
    )


def t5() -> Tower:
    """Return an encoder of flan-t5-small's measures on image and instruction tokens."""
    config = transformers.T5Config(
        d_model=SMALL, d_kv=64, d_ff=1024, num_layers=8, num_heads=6,
        feed_forward_proj="gated-gelu",
    )  # fmt: skip
    model = transformers.T5EncoderModel(config).eval()
    return lambda images: model(inputs_embeds=torch.randn(images, QUERIES + WORDS, SMALL))


def prepared(folder: Path, images: int, width: int) -> tuple[Iterable[Batch], Method]:
    """Return the epoch's batches as training reads them, and the head for this teacher."""
    recipe = methods.recipe("expclip", {"teacher_dim": width})
    method = methods.get("expclip")(recipe, Context(DIM, ("anger", "fear"), "zero_shot"))
    clips = [Clip(id=f"image{index:06d}", path="", kind="image") for index in range(images)]
    needs = method.stores(recipe, "zero_shot", "train")
    stores = ClipStores(stored(folder, clips, width), needs)
    data = ClipDataset(clips, stores, method.sample, "emotion", (), seed=0, training=True)
    return loader(data, EpochSampler(len(data), seed=0), BATCH), method


def stored(folder: Path, clips: list[Clip], width: int) -> dict[str, list[Path]]:
    """Write random features and teacher vectors as shard tables."""
    features = pa.schema(
        [
            frame_list("source_index", "int32"),
            frame_list("valid", "bool"),
            frame_array("features", "float16", 1, DIM),
        ]
    )
    teacher = pa.schema(
        [frame_list("source_index", "int32"), frame_array("embeddings", "float16", width)]
    )
    facts = {"status": "ok", "source_index": np.zeros(1, np.int32), "valid": np.ones(1, bool)}
    columns = {
        "visual_features": (features, "features", (1, 1, DIM)),
        "teacher_embeddings": (teacher, "embeddings", (1, width)),
    }
    return {
        stage: write(folder / stage, clips, schema, (name, shape), facts)
        for stage, (schema, name, shape) in columns.items()
    }


def write(
    folder: Path, clips: list[Clip], schema: pa.Schema, column: tuple[str, tuple], facts: dict
) -> list[Path]:
    """Write one store of random vectors, in shards of an image data set's size."""
    random = np.random.default_rng(0)
    name, shape = column
    paths = []
    for start in range(0, len(clips), SHARD):
        paths.append(folder / f"{start // SHARD:05d}.parquet")
        with ShardWriter(paths[-1], schema, {}) as writer:
            for clip in clips[start : start + SHARD]:
                values = random.standard_normal(shape, np.float32).astype(np.float16)
                writer.write({"clip_id": clip.id, **facts, name: values})
    return paths


def epoch_seconds(method: Method, epoch: Iterable[Batch]) -> tuple[float, float]:
    """Return the CPU seconds and the clock's seconds of one epoch, after one warm-up step."""
    optimiser = method.optimiser()
    train_step(method, optimiser, next(iter(epoch)))
    cpu, clock = time.process_time(), time.perf_counter()
    for batch in epoch:
        train_step(method, optimiser, batch)
    return time.process_time() - cpu, time.perf_counter() - clock


if __name__ == "__main__":
    main()
