"""Losses for sets of classes that are not closed (docs/methods/hesp.md, section 3).

Reciprocal points (Chen et al., ARPL) stand for what a class is *not*: a clip belongs to the class
whose point is farthest from it.
"""

import torch
from torch import Tensor
from torch.nn import functional


def reciprocal_scores(clips: Tensor, points: Tensor) -> Tensor:
    """Return (batch, classes): squared distance per dimension minus dot product.

    Args:
        clips: (batch, D), not normalised.
        points: (classes, D), not normalised.
    """
    squared = (clips[:, None] - points[None]).square().mean(-1)
    return squared - clips @ points.T


def reciprocal_margin(clips: Tensor, own: Tensor, radius: Tensor) -> Tensor:
    """Return how far clips leave the bounded space of their class: mean max(0, d - R + 1).

    Args:
        clips: (batch, D); ``own``: (batch, D) the reciprocal point of each clip's class.
        radius: R, a scalar.
    """
    distance = (clips - own).square().mean(-1)
    return functional.relu(distance - radius + 1).mean()


def supervised_contrastive(clips: Tensor, labels: Tensor, temperature: float = 0.5) -> Tensor:
    """Return the supervised contrastive loss with the temperature as prefactor.

    Clips without another one of their class are no anchors, but stay in the denominators. A batch
    without any pair gives 0.

    Args:
        clips: (batch, D), not normalised; ``labels``: (batch,).
    """
    unit = functional.normalize(clips, dim=-1)
    itself = torch.eye(len(clips), dtype=torch.bool, device=clips.device)
    pairs = (labels[:, None] == labels[None]) & ~itself
    anchors = pairs.any(-1)
    if not anchors.any():
        return 0.0 * clips.sum()
    similarity = (unit @ unit.T / temperature).masked_fill(itself, float("-inf"))
    shares = functional.log_softmax(similarity[anchors], dim=-1)
    positives = pairs[anchors]
    chosen = shares.masked_fill(~positives, 0.0).sum(-1) / positives.sum(-1)
    return -temperature * chosen.mean()
