"""A HESP training step against one of a plain fine-tune of the same image tower.

Run: python benchmarks/hesp_step.py [--backbone ViT-B-32] [--clips 4] [--frames 8]

All take the same clips: random pixels (the arithmetic is the same), seven classes. HESP sends
gradients through the frozen tower down to the pixels of its patch, and one negative image per
class through it, but trains no weight of it; the plain fine-tune, AdamW on every weight, needs no
gradient of its pixels. How time and memory are taken is told in finecliper_step.py. Ratios are
over the plain fine-tune; below 1 is cheaper. One clip of eight frames stands against seven negative
images, so with a paper-sized batch of 64 clips HESP's share is smaller than the ratio at 4 clips.
"""

import argparse
import logging
import multiprocessing
import statistics
from typing import Any

import torch
from finecliper_step import FineTune, memory, random_backbone, step

from expressway import methods
from expressway.backbones import Backbone
from expressway.data.clips import Batch
from expressway.methods.base import Context

LABELS = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
VARIANTS: dict[str, dict[str, Any] | None] = {
    "plain fine-tune": None,
    "HESP": {},
    "  checkpointing": {"checkpointing": True},
    "  learned negatives": {"negative_contexts": "learned"},
}


def main() -> None:
    """Print trained parameters, seconds per step, peak memory, and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="ViT-B-32", help="architecture known to open_clip")
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3, help="after one to warm up")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true", help="autocast")
    options = vars(parser.parse_args())
    print("{backbone} on {device}, {clips} clips x {frames} frames".format(**options))
    print(
        f"{'variant':<20} {'trained M':>9} {'s/step':>7} {'ratio':>6} {'peak MB':>8} {'ratio':>6}"
    )
    base: tuple[float, float] | None = None
    for name in VARIANTS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            trained, seconds, peak = pool.apply(measured, (name, options))
        base = base or (seconds, peak)
        print(
            f"{name:<20} {trained:>9.2f} {seconds:>7.2f} {seconds / base[0]:>5.2f}x {peak:>8.0f} "
            f"{peak / base[1]:>5.2f}x",
            flush=True,
        )


def measured(name: str, options: dict[str, Any]) -> tuple[float, float, float]:
    """Return millions of trained parameters, seconds per step, and the peak in MB."""
    logging.getLogger().setLevel(logging.ERROR)  # open_clip warns that the weights are random
    torch.manual_seed(0)
    backbone = random_backbone(options["backbone"], options["device"])
    batch = random_batch(backbone, options["clips"], options["frames"])
    before = memory(options["device"])
    method = built(name, backbone).to(options["device"]).train()
    optimiser = method.optimiser()
    seconds = [step(method, optimiser, batch, options) for _ in range(1 + options["steps"])]
    trained = sum(p.numel() for p in method.parameters() if p.requires_grad)
    peak = memory(options["device"], peak=True) - before
    return trained / 1e6, statistics.median(seconds[1:]), peak / 2**20


def random_batch(backbone: Backbone, clips: int, frames: int) -> Batch:
    """Return clips of random pixels, under the names that both sides read."""
    shape = (clips, frames, 3, *backbone.preprocess.size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    window = torch.full((clips, 2), backbone.image_size // 2)
    inputs = {"frames": images, "images": images, "window": window}
    labels = torch.arange(clips) % len(LABELS)
    names = tuple(map(str, range(clips)))
    return Batch(names, inputs, labels, torch.zeros(clips, 0)).to(backbone.device)


def built(name: str, backbone: Backbone) -> Any:
    """Return what a variant trains."""
    changes = VARIANTS[name]
    if changes is None:
        return FineTune(backbone)
    prompts = {label: (label,) for label in LABELS}
    context = Context(backbone.dim, LABELS, "supervised", prompts, backbone.logit_scale, backbone)
    return methods.get("hesp")(methods.recipe("hesp", changes), context)


if __name__ == "__main__":
    main()
