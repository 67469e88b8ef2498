"""A FineCLIPER training step against one of a plain fine-tune of the same image tower.

Run: python benchmarks/finecliper_step.py [--backbone ViT-B-32] [--clips 4] [--frames 4]

All take the same clips: random pixels (the arithmetic is the same), seven classes, AdamW. The
plain fine-tune trains every weight of the image tower on the mean of the frames and compares it
with fixed class vectors. How time and memory are taken is told in steps.py. Ratios are over the
plain fine-tune; below 1 is cheaper.
"""

from typing import Any

import torch
from steps import LABELS, Comparison, FineTune, random_batch

from expressway import methods
from expressway.data.clips import Batch
from expressway.methods.base import Context
from expressway.networks.backbones import Backbone

CAPTION = "The inner brows are raised and drawn together and the corners of the mouth turn down."
CUES = ["parsing", "landmarks"]
VARIANTS: dict[str, dict[str, Any]] = {
    "plain fine-tune": {},
    "FineCLIPER": {"modalities": ["frames"]},
    "  checkpointing": {"modalities": ["frames"], "checkpointing": True},
    "FineCLIPER†": {"modalities": ["frames", "captions"]},
    "FineCLIPER*": {"modalities": ["frames", *CUES]},
    "FineCLIPER*†": {"modalities": ["frames", *CUES, "captions"]},
}


def batch(name: str, backbone: Backbone, clips: int, frames: int) -> Batch:
    """Return clips that lack none of their modalities."""
    modalities = VARIANTS[name].get("modalities", [])
    shape = (clips, frames, 3, *backbone.preprocess.size)
    inputs = {cue: torch.randint(0, 256, shape, dtype=torch.uint8) for cue in CUES}
    inputs["captions"] = backbone.tokenize([CAPTION] * clips)
    inputs["present"] = torch.ones(clips, len(modalities), dtype=torch.bool)
    return random_batch(backbone, clips, frames, **inputs)


def built(name: str, backbone: Backbone, frames: int) -> Any:
    """Return what a variant trains."""
    changes = VARIANTS[name]
    if not changes:
        return FineTune(backbone)
    context = Context(backbone.dim, LABELS, "supervised", backbone=backbone)
    recipe = methods.recipe("finecliper", {**changes, "frames": frames})
    method = methods.get("finecliper")(recipe, context)
    method.read_prompts(backbone)
    return method


if __name__ == "__main__":
    Comparison(tuple(VARIANTS), batch, built, frames=4).run(__doc__)
