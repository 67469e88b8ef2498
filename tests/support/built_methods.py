"""Methods of the registry, built as a run would build them, and batches of the feature world."""

from typing import Any

import feature_world
import torch
from feature_world import LABELS, TARGETS, FeatureWorld

from expressway import methods
from expressway.data.clips import Batch, ClipDataset, ClipStores, in_order
from expressway.data.sampling import TEST_EPOCH
from expressway.data.splits import part, usable
from expressway.methods.base import Context, Method
from expressway.networks import backbones

ALL = [(name, p) for name in methods.names() for p in methods.get(name).protocols]
TRAINED = [(name, p) for name, p in ALL if methods.get(name).trained]


def outputs(protocol: str) -> tuple[str, ...]:
    """Return what the columns of the scores stand for."""
    return TARGETS if protocol == "regression" else LABELS


def build(world: FeatureWorld, name: str, protocol: str, **recipe: Any) -> Method[Any]:
    """Return a method with its small recipe and these changes."""
    torch.manual_seed(0)
    backbone = backbones.load(world.backbone)
    chosen = methods.get(name)
    context = Context(
        dim=backbone.dim,
        labels=outputs(protocol),
        protocol=protocol,
        prompts=feature_world.PROMPTS,
        logit_scale=backbone.logit_scale,
        backbone=backbone,
    )
    settings = methods.recipe(name, {**feature_world.SMALL.get(name, {}), **recipe})
    method = chosen(settings, context)
    if chosen.class_texts:
        method.read_prompts(backbone)
    return method


def batch_of(world: FeatureWorld, method: Method[Any], phase: str, size: int = 12) -> Batch:
    """Return the first ``size`` clips of the training part, as a phase samples them."""
    protocol = method.context.protocol
    stores = ClipStores(world.stores, method.stores(method.recipe, protocol, phase))
    clips = [c for c in part(world.clips, world.parts, "train") if c.labels]
    clips, _ = usable(clips, stores.why_not)
    training_phase = phase == "train"
    targets = TARGETS if protocol == "regression" else ()
    data = ClipDataset(
        clips[:size], stores, method.sample, "emotion", LABELS, 0, training_phase, targets
    )
    return next(iter(in_order(data, size, 0 if training_phase else TEST_EPOCH)))


def total(terms: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the loss that training minimises."""
    return torch.stack(list(terms.values())).sum()
