"""What the benchmarks of training steps share: one step, its seconds, its memory, a table of them.

Each variant runs in a process of its own: its peak is what a step takes beside the frozen CLIP
(activations, gradients, moments of the optimiser, a tuned copy). Seconds are those of all CPU
threads, so that other work on the machine matters little; on a GPU those of the clock, and memory
is the device's. Ratios are over the first variant, a plain fine-tune; below 1 is cheaper.
"""

import argparse
import logging
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor, nn
from torch.nn import functional

from expressway.data.clips import Batch
from expressway.methods.blocks.towers import visual_tower
from expressway.networks.backbones import Backbone
from expressway.networks.preprocessing import Preprocess

LABELS = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")


@dataclass(frozen=True)
class Comparison:
    """What is compared; the functions get a variant's name and the backbone, then sizes.

    Attributes:
        batch: (variant, backbone, clips, frames) -> what a step is taken on.
        built: (variant, backbone, frames) -> what is trained.
        frames: default number of frames of a clip.
    """

    variants: Sequence[str]
    batch: Callable[[str, Backbone, int, int], Batch]
    built: Callable[[str, Backbone, int], Any]
    frames: int

    def run(self, description: str) -> None:
        """Print trained parameters, seconds per step, peak memory, and their ratios."""
        options = self._options(description)
        print("{backbone} on {device}, {clips} clips x {frames} frames".format(**options))
        width = max(map(len, self.variants))
        heads = f"{'trained M':>9} {'s/step':>7} {'ratio':>6} {'peak MB':>8} {'ratio':>6}"
        print(f"{'variant':<{width}} {heads}", flush=True)
        base: tuple[float, float] | None = None
        for name in self.variants:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                trained, seconds, peak = pool.apply(self.measured, (name, options))
            base = base or (seconds, peak)
            print(
                f"{name:<{width}} {trained:>9.2f} {seconds:>7.2f} {seconds / base[0]:>5.2f}x "
                f"{peak:>8.0f} {peak / base[1]:>5.2f}x",
                flush=True,
            )

    def _options(self, description: str) -> dict[str, Any]:
        parser = argparse.ArgumentParser(description=description.splitlines()[0])
        parser.add_argument("--backbone", default="ViT-B-32", help="known to open_clip")
        parser.add_argument("--clips", type=int, default=4)
        parser.add_argument("--frames", type=int, default=self.frames)
        parser.add_argument("--steps", type=int, default=3, help="after one to warm up")
        parser.add_argument("--device", default="cpu")
        parser.add_argument("--bf16", action="store_true", help="autocast")
        return vars(parser.parse_args())

    def measured(self, name: str, options: dict[str, Any]) -> tuple[float, float, float]:
        """Return millions of trained parameters, seconds per step, and the peak in MB."""
        logging.getLogger().setLevel(logging.ERROR)  # open_clip warns that the weights are random
        torch.manual_seed(0)
        device, bf16 = options["device"], options["bf16"]
        backbone = random_backbone(options["backbone"], device)
        batch = self.batch(name, backbone, options["clips"], options["frames"])
        before = memory(device)
        method = self.built(name, backbone, options["frames"]).to(device).train()
        optimiser = method.optimiser()
        marks = [clock(device)]
        for _ in range(1 + options["steps"]):
            train_step(method, optimiser, batch, bf16)
            marks.append(clock(device))
        seconds = [after - start for start, after in pairwise(marks[1:])]
        trained = sum(p.numel() for p in method.parameters() if p.requires_grad)
        peak = memory(device, peak=True) - before
        return trained / 1e6, statistics.median(seconds), peak / 2**20


class FineTune(nn.Module):
    """Every weight of the image tower is trained; a clip is the mean of its frames."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.visual, self.preprocess = visual_tower(backbone), backbone.preprocess
        classes = torch.randn(len(LABELS), backbone.dim, device=backbone.device)
        self.register_buffer("classes", functional.normalize(classes, dim=-1))

    def optimiser(self) -> torch.optim.Optimizer:
        """Return AdamW over all weights."""
        return torch.optim.AdamW(self.parameters(), lr=1e-5)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross entropy of cosines with fixed class vectors."""
        images = batch["frames"]
        seen = self.visual(self.preprocess.normalise(images.flatten(0, 1)))
        clips = functional.normalize(seen.unflatten(0, images.shape[:2]).mean(1), dim=-1)
        return {"classes": functional.cross_entropy(100 * clips @ self.classes.T, batch.labels)}


def random_backbone(architecture: str, device: str) -> Backbone:
    """Return a frozen CLIP with random weights."""
    model = open_clip.create_model(architecture, pretrained=None)
    model = model.eval().requires_grad_(False).to(device)
    return Backbone(
        name=architecture,
        model=model,
        tokenizer=open_clip.get_tokenizer(architecture),
        preprocess=Preprocess.of(model.visual.preprocess_cfg),
        weights=Path(),
        dim=model.visual.output_dim,
        text_width=model.positional_embedding.shape[-1],
        context_length=model.context_length,
        logit_scale=float(model.logit_scale),
        device=device,
        precision="fp32",
    )


def random_batch(backbone: Backbone, clips: int, frames: int, **inputs: Tensor) -> Batch:
    """Return clips of random pixels (``frames``), with more inputs if there are any."""
    shape = (clips, frames, 3, *backbone.preprocess.size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    labels = torch.arange(clips) % len(LABELS)
    names = tuple(map(str, range(clips)))
    return Batch(names, {"frames": images, **inputs}, labels).to(backbone.device)


def train_step(
    method: Any, optimiser: torch.optim.Optimizer, batch: Batch, bf16: bool = False
) -> Tensor:
    """Take one training step and return its loss."""
    optimiser.zero_grad()
    with torch.autocast(batch.labels.device.type, torch.bfloat16, enabled=bf16):
        loss = torch.stack(list(method.loss(batch).values())).sum()
    loss.backward()
    optimiser.step()
    return loss.detach()


def clock(device: str) -> float:
    """Return seconds of all CPU threads, or of the clock once a GPU is done."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def memory(device: str, peak: bool = False) -> float:
    """Return bytes in use now, forgetting earlier peaks, or the peak since then."""
    if device != "cpu":
        if peak:
            return float(torch.cuda.max_memory_allocated(device))
        torch.cuda.reset_peak_memory_stats(device)
        return float(torch.cuda.memory_allocated(device))
    if not peak:
        Path("/proc/self/clear_refs").write_text("5")  # the kernel's way to forget the peak
    wanted = "VmHWM:" if peak else "VmRSS:"
    lines = Path("/proc/self/status").read_text().splitlines()
    found = next(line for line in lines if line.startswith(wanted))
    return 1024.0 * int(found.split()[1])
