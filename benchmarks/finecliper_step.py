"""A FineCLIPER training step against one of a plain fine-tune of the same image tower.

Run: python benchmarks/finecliper_step.py [--backbone ViT-B-32] [--clips 4] [--frames 4]

All take the same clips: random pixels (the arithmetic is the same), seven classes, AdamW. The
plain fine-tune trains every weight of the image tower on the mean of the frames and compares it
with fixed class vectors. Each variant runs in a process of its own: its peak is what a step takes
beside the frozen CLIP (activations, gradients, moments of the optimiser, the tuned copy). Seconds
are those of all CPU threads, so that other work on the machine matters little; on a GPU those of
the clock, and memory is the device's. Ratios are over the plain fine-tune; below 1 is cheaper.
"""

import argparse
import logging
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor, nn
from torch.nn import functional

from expressway import methods
from expressway.backbones import Backbone
from expressway.data.clips import Batch
from expressway.methods.base import Context
from expressway.methods.blocks.towers import visual_tower
from expressway.preprocessing import Preprocess

LABELS = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
CAPTION = "The inner brows are raised and drawn together and the corners of the mouth turn down."
CUES = ["parsing", "landmarks"]
VARIANTS: dict[str, dict[str, Any] | None] = {
    "plain fine-tune": None,
    "FineCLIPER": {"modalities": ["frames"]},
    "  checkpointing": {"modalities": ["frames"], "checkpointing": True},
    "FineCLIPER†": {"modalities": ["frames", "captions"]},
    "FineCLIPER*": {"modalities": ["frames", *CUES]},
    "FineCLIPER*†": {"modalities": ["frames", *CUES, "captions"]},
}


class FineTune(nn.Module):
    """Every weight of the image tower is trained; a clip is the mean of its frames."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.visual, self.preprocess = visual_tower(backbone), backbone.preprocess
        classes = torch.randn(len(LABELS), backbone.dim, device=backbone.device)
        self.register_buffer("classes", functional.normalize(classes, dim=-1))

    def optimiser(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-5)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        images = batch["frames"]
        seen = self.visual(self.preprocess.normalise(images.flatten(0, 1)))
        clips = functional.normalize(seen.unflatten(0, images.shape[:2]).mean(1), dim=-1)
        return {"classes": functional.cross_entropy(100 * clips @ self.classes.T, batch.labels)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="ViT-B-32", help="architecture known to open_clip")
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3, help="after one to warm up")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true", help="autocast")
    options = parser.parse_args()
    print(
        f"{options.backbone} on {options.device}, {options.clips} clips x {options.frames} frames"
    )
    head = (
        f"{'variant':<16} {'trained M':>9} {'s/step':>7} {'ratio':>6} {'peak MB':>8} {'ratio':>6}"
    )
    print(head, flush=True)
    base: tuple[float, float] | None = None
    for name in VARIANTS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            trained, seconds, peak = pool.apply(measured, (name, vars(options)))
        base = base or (seconds, peak)
        ratios = seconds / base[0], peak / base[1]
        print(
            f"{name:<16} {trained:>9.2f} {seconds:>7.2f} {ratios[0]:>5.2f}x {peak:>8.0f} "
            f"{ratios[1]:>5.2f}x",
            flush=True,
        )


def measured(name: str, options: dict[str, Any]) -> tuple[float, float, float]:
    """Return millions of trained parameters, seconds per step, and the peak in MB."""
    logging.getLogger().setLevel(logging.ERROR)  # open_clip warns that the weights are random
    torch.manual_seed(0)
    backbone = random_backbone(options["backbone"], options["device"])
    clips, frames = options["clips"], options["frames"]
    batch = random_batch(backbone, clips, frames, modalities=len(modalities_of(name)))
    before = memory(options["device"])
    method = built(name, backbone, frames).to(options["device"]).train()
    optimiser = method.optimiser()
    seconds = [step(method, optimiser, batch, options) for _ in range(1 + options["steps"])]
    trained = sum(p.numel() for p in method.parameters() if p.requires_grad)
    peak = memory(options["device"], peak=True) - before
    return trained / 1e6, statistics.median(seconds[1:]), peak / 2**20


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


def modalities_of(name: str) -> list[str]:
    """Return the modalities of a variant."""
    changes = VARIANTS[name]
    return changes["modalities"] if changes else ["frames"]


def random_batch(backbone: Backbone, clips: int, frames: int, modalities: int) -> Batch:
    """Return clips of random pixels that lack none of their modalities."""
    shape = (clips, frames, 3, *backbone.preprocess.size)
    inputs = {name: torch.randint(0, 256, shape, dtype=torch.uint8) for name in ("frames", *CUES)}
    inputs["captions"] = backbone.tokenize([CAPTION] * clips)
    inputs["present"] = torch.ones(clips, modalities, dtype=torch.bool)
    labels = torch.arange(clips) % len(LABELS)
    return Batch(tuple(map(str, range(clips))), inputs, labels).to(backbone.device)


def built(name: str, backbone: Backbone, frames: int) -> Any:
    """Return what a variant trains."""
    changes = VARIANTS[name]
    if changes is None:
        return FineTune(backbone)
    chosen = methods.get("finecliper")
    context = Context(backbone.dim, LABELS, "supervised", backbone=backbone)
    recipe = methods.recipe("finecliper", {**changes, "frames": frames})
    method = chosen(recipe, context)
    method.read_prompts(backbone)
    return method.to(backbone.device)


def step(method: Any, optimiser: Any, batch: Batch, options: dict[str, Any]) -> float:
    """Take one step and return its seconds."""
    kind = torch.device(options["device"]).type
    started = clock(options["device"])
    optimiser.zero_grad()
    with torch.autocast(kind, torch.bfloat16, enabled=options["bf16"]):
        loss = torch.stack(list(method.loss(batch).values())).sum()
    loss.backward()
    optimiser.step()
    return clock(options["device"]) - started


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


if __name__ == "__main__":
    main()
