"""Several modalities of a clip as one vector (docs/methods/finecliper.md, section 2.7)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Rule = Literal["adaptive", "fixed", "learned"]


def agreement_weights(vectors: Tensor, present: Tensor, temperature: float) -> Tensor:
    """Return (batch, modalities) that sum to 1: more for what agrees with the others.

    The softmax over present modalities of the mean cosine with the other present ones.

    Args:
        vectors: (batch, modalities, D) of length 1.
        present: (batch, modalities) bool, at least one true per clip.
    """
    others = present[:, None, :] & ~torch.eye(present.shape[1], dtype=torch.bool).to(present)
    cosines = vectors @ vectors.transpose(1, 2) * others
    means = cosines.sum(-1) / others.sum(-1).clamp(min=1)
    return _softmax(means / temperature, present)


def fixed_weights(present: Tensor, first: float) -> Tensor:
    """Return (batch, modalities): ``first`` for the first one, the rest shared by the others.

    What a missing modality would have had is shared in proportion.
    """
    count = present.shape[1]
    weights = torch.full((count,), (1 - first) / max(1, count - 1), device=present.device)
    weights[0] = first if count > 1 else 1.0
    kept = weights * present
    return kept / kept.sum(-1, keepdim=True).clamp(min=1e-12)


def _softmax(scores: Tensor, present: Tensor) -> Tensor:
    return scores.masked_fill(~present, float("-inf")).softmax(-1)


class Fusion(nn.Module):
    """The weighted sum of a clip's modalities, normalised."""

    def __init__(self, rule: Rule, modalities: int, temperature: float, first: float) -> None:
        super().__init__()
        self.rule, self.temperature, self.first = rule, temperature, first
        if rule == "learned":
            self.scores = nn.Parameter(torch.zeros(modalities))

    def weights(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Return (batch, modalities); no gradient flows through adaptive weights."""
        if self.rule == "learned":
            return _softmax(self.scores.expand(len(present), -1), present)
        if self.rule == "fixed":
            return fixed_weights(present, self.first)
        return agreement_weights(vectors.detach(), present, self.temperature)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Map unit vectors (batch, modalities, D) to unit vectors (batch, D)."""
        weights = self.weights(vectors, present)
        return functional.normalize((weights[..., None] * vectors).sum(1), dim=-1)
