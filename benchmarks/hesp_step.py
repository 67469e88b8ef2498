"""A HESP training step against one of a plain fine-tune of the same image tower.

Run: python benchmarks/hesp_step.py [--backbone ViT-B-32] [--clips 4] [--frames 8]

All take the same clips: random pixels (the arithmetic is the same), seven classes. HESP sends
gradients through the frozen tower down to the pixels of its patch, and one negative image per
class through it, but trains no weight of it; the plain fine-tune, AdamW on every weight, needs no
gradient of its pixels. How time and memory are taken is told in steps.py. Ratios are over the
plain fine-tune; below 1 is cheaper. One clip of eight frames stands against seven negative images,
so with a paper-sized batch of 64 clips HESP's share is smaller than the ratio at 4 clips.
"""

from typing import Any

import torch
from steps import LABELS, Comparison, FineTune, random_batch

from expressway import methods
from expressway.data.clips import Batch
from expressway.methods.base import Context
from expressway.networks.backbones import Backbone

VARIANTS: dict[str, dict[str, Any] | None] = {
    "plain fine-tune": None,
    "HESP": {},
    "  checkpointing": {"checkpointing": True},
    "  learned negatives": {"negative_contexts": "learned"},
}


def batch(name: str, backbone: Backbone, clips: int, frames: int) -> Batch:
    """Return clips whose images have the names that both sides read."""
    found = random_batch(backbone, clips, frames)
    window = torch.full((clips, 2), backbone.image_size // 2, device=backbone.device)
    inputs = {**found.inputs, "images": found["frames"], "window": window}
    return Batch(found.ids, inputs, found.labels)


def built(name: str, backbone: Backbone, frames: int) -> Any:
    """Return what a variant trains."""
    changes = VARIANTS[name]
    if changes is None:
        return FineTune(backbone)
    prompts = {label: (label,) for label in LABELS}
    context = Context(backbone.dim, LABELS, "supervised", prompts, backbone.logit_scale, backbone)
    return methods.get("hesp")(methods.recipe("hesp", changes), context)


if __name__ == "__main__":
    Comparison(tuple(VARIANTS), batch, built, frames=8).run(__doc__)
