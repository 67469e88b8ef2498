"""Clips per second that the loader delivers, against those that a training step takes.

Run: python benchmarks/loader.py [--clips 64] [--frames 16] [--device cuda --precision bf16-mixed]

The step is a fine-tune of the demo backbone's image tower (EmoCLIP with tune: visual), the smallest
model that reads images, so the one that a loader starves first. Clips are rows of a faces store:
224 px JPEG crops of quality 95, drawn from a photograph with noise, augmented as in training. Both
sides are timed alone, by the clock, on the same batches; workers are processes beside this one.
The ratio is the loader's rate over the step's: above 1 means that the step need not wait.
"waiting" is the share of its time that a training run waited for clips, by its own log. Where
cores are fewer than threads and workers, both get less than they measure alone; CPU milliseconds
a clip say what each costs whatever else the machine does.
"""

import argparse
import csv
import io
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from steps import train_step
from torch.utils.data import DataLoader

from expressway import methods
from expressway.core.columns import blobs, frame_list
from expressway.core.manifest import Clip
from expressway.core.specs import TrainSpec
from expressway.core.store import ShardWriter
from expressway.data.clips import Batch, ClipDataset, ClipStores, loader
from expressway.data.sampling import EpochSampler
from expressway.media.frames import encode_jpeg
from expressway.methods.base import Context, Method
from expressway.models import training
from expressway.networks import backbones

ROOT = Path(__file__).parents[1]
LABELS, SIZE, QUALITY, BATCH = ("anger", "fear", "joy"), 224, 95, 8
FACES = pa.schema(
    [frame_list("source_index", "int32"), frame_list("valid", "bool"), blobs("crops")]
)


def main() -> None:
    """Print rates and ratios for several numbers of workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default=f"local-dir:{ROOT / 'data/demo/backbone'}")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--frames", type=int, default=16, help="of a clip, every second is used")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="32-true")
    options = parser.parse_args()
    recipe = {"tune": "visual", "frames": options.frames, "batch_size": BATCH, "epochs": 2}
    with tempfile.TemporaryDirectory() as folder:
        clips, stores = stored(Path(folder), options.clips, 2 * options.frames)
        method = built(options.backbone, recipe, options.device)
        name, threads = options.backbone.rsplit("/", 1)[-1], torch.get_num_threads()
        print(f"{name} on {options.device}, {options.precision}, {threads} threads")
        print(f"{BATCH} clips x {options.frames} frames a step")
        alone = batches(clips, stores, method, 0)
        step, cpu = step_rate(method, next(iter(alone)), options)
        read = cpu_milliseconds(alone, len(clips))
        print(f"step alone: {step:.1f} clips/s; CPU ms a clip: step {cpu:.0f}, loader {read:.0f}")
        print(f"{'workers':>7} {'loader clips/s':>15} {'loader / step':>14} {'waiting':>8}")
        for workers in options.workers:
            rate = loader_rate(batches(clips, stores, method, workers), len(clips))
            spec = train_spec(clips, stores, recipe, options.backbone)
            waited = waiting(spec, Path(folder) / str(workers), workers, options)
            print(f"{workers:>7} {rate:>15.1f} {rate / step:>13.2f}x {waited:>8.0%}", flush=True)


def stored(folder: Path, count: int, frames: int) -> tuple[list[Clip], dict[str, list[Path]]]:
    """Write a faces store of ``count`` clips."""
    from skimage import data, transform

    random = np.random.default_rng(0)
    portrait = transform.resize(data.astronaut()[:200, 130:330], (SIZE, SIZE)) * 255
    path = folder / "faces.parquet"
    clips = [
        Clip(id=f"clip{index:05d}", path="", labels={"emotion": LABELS[index % len(LABELS)]})
        for index in range(count)
    ]
    with ShardWriter(path, FACES, {}, images=True) as writer:
        for clip in clips:
            images = portrait + random.normal(0, 4, (frames, SIZE, SIZE, 3))
            crops = [encode_jpeg(image.clip(0, 255).astype(np.uint8), QUALITY) for image in images]
            known = {"source_index": np.arange(frames), "valid": np.ones(frames, bool)}
            writer.write({"clip_id": clip.id, "status": "ok", **known, "crops": crops})
    return clips, {"faces": [path]}


def built(backbone: str, recipe: dict[str, Any], device: str) -> Method[Any]:
    """Return EmoCLIP with a trained image tower."""
    loaded = backbones.load(backbone, device)
    prompts = {label: (f"an expression of {label}.",) for label in LABELS}
    context = Context(
        loaded.dim, LABELS, "supervised", prompts, loaded.logit_scale, backbone=loaded
    )
    method = methods.get("emoclip")(methods.recipe("emoclip", recipe), context)
    method.read_prompts(loaded)
    return method.to(device).train()


def batches(
    clips: list[Clip], stores: dict[str, list[Path]], method: Method[Any], workers: int
) -> DataLoader[Batch]:
    """Return the batches of an epoch as training reads them."""
    opened = ClipStores(stores, method.stores(method.recipe, "supervised", "train"))
    data = ClipDataset(clips, opened, method.sample, "emotion", LABELS, seed=0, training=True)
    return loader(data, EpochSampler(len(data), seed=0), BATCH, workers)


def cpu_milliseconds(epoch: DataLoader[Batch], clips: int) -> float:
    """Return what reading a clip costs, whatever else the machine does."""
    started = time.process_time()
    for _ in epoch:
        pass
    return 1000 * (time.process_time() - started) / clips


def loader_rate(epoch: DataLoader[Batch], clips: int) -> float:
    """Return clips per second of an epoch whose processes were started by another."""
    for _ in epoch:
        pass
    started = time.monotonic()
    for _ in epoch:
        pass
    return clips / (time.monotonic() - started)


def step_rate(
    method: Method[Any], batch: Batch, options: Any, steps: int = 4
) -> tuple[float, float]:
    """Return clips per second of training steps on a batch that is there, and CPU ms a clip."""
    optimiser, batch = method.optimiser(), batch.to(options.device)
    lower = options.precision == "bf16-mixed"
    float(train_step(method, optimiser, batch, lower))
    clock, cpu = time.monotonic(), time.process_time()
    for _ in range(steps):
        float(train_step(method, optimiser, batch, lower))  # waits for the device
    clips = steps * len(batch)
    return clips / (time.monotonic() - clock), 1000 * (time.process_time() - cpu) / clips


def train_spec(
    clips: list[Clip], stores: dict[str, list[Path]], recipe: dict[str, Any], backbone: str
) -> TrainSpec:
    """Return the same as a training run."""
    return TrainSpec(
        model="tuned",
        method="emoclip",
        recipe=recipe,
        clips=clips,
        parts={clip.id: "train" for clip in clips},
        stores=stores,
        task="emotion",
        labels=LABELS,
        protocol="supervised",
        split="all",
        seed=0,
        backbone=backbone,
        dataset="drawn",
        prompts={label: (f"an expression of {label}.",) for label in LABELS},
    )


def waiting(spec: TrainSpec, folder: Path, workers: int, options: Any) -> float:
    """Return the share of the last epoch that a training run waited for clips, by its own log."""
    threads = torch.get_num_threads()
    out, state = folder / "out", folder / "state"
    machine = {"device": options.device, "precision": options.precision, "threads": threads}
    with redirect_stdout(io.StringIO()):
        training.train(spec, out, state, workers=workers, **machine)
    with (state / "log.csv").open() as file:
        last = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)][-1]
    return last["data_seconds"] / (last["data_seconds"] + last["step_seconds"])


if __name__ == "__main__":
    main()
