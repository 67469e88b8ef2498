"""ARPL on frozen CLIP features: reciprocal points, the open-set baseline beside max-softmax.

A class is described by what it is not: a clip belongs to the class whose reciprocal point is
farthest from it, and training keeps the clips of a class within a bounded space around its point.
The paper trains the features along; here they are frozen and brought to one length, since a clip
must not look known by being far from everything (docs/methods/arpl.md).
"""

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from expressway.data.clips import Batch, Rows, Sample
from expressway.methods.arpl.recipe import Description, Recipe
from expressway.methods.base import Context, Method
from expressway.methods.blocks.frames import frame_mean
from expressway.methods.blocks.open_losses import reciprocal_margin, reciprocal_scores

POINT_SPREAD = 0.1  # the release's start


class ARPL(Description, Method[Recipe]):
    """Reciprocal points on frame-mean features of one length."""

    centre: Tensor

    def __init__(self, recipe: Recipe, context: Context) -> None:
        super().__init__(recipe, context)
        self.register_buffer("centre", torch.zeros(context.dim))
        self.points = nn.Parameter(POINT_SPREAD * torch.randn(len(context.labels), context.dim))
        self.radius = nn.Parameter(torch.zeros(()))

    def begin(self, batches: Iterable[Batch]) -> None:
        """Measure the mean of the features over the training part."""
        self.centre = torch.cat([batch["mean"] for batch in batches]).mean(0)

    def sample(self, rows: Rows, random: np.random.Generator, training: bool) -> Sample:
        """Return ``mean`` (D,)."""
        return {"mean": frame_mean(rows["visual_features"])}

    def encode_clips(self, batch: Batch) -> Tensor:
        """Return f (batch, D): centred on the training part, with length √D."""
        return math.sqrt(self.context.dim) * functional.normalize(batch["mean"] - self.centre)

    def encode_texts(self) -> Tensor:
        """Return v (classes, D): the reciprocal points."""
        return self.points

    def scores(self, batch: Batch) -> Tensor:
        """Return (batch, classes): |f - v|² / D - f·v, high where f is far from the point."""
        return reciprocal_scores(self.encode_clips(batch), self.points)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross entropy of the scores, and how far clips leave their class's bounded space."""
        clips = self.encode_clips(batch)
        scores = reciprocal_scores(clips, self.points) / self.recipe.temperature
        margin = reciprocal_margin(clips, self.points[batch.labels], self.radius)
        return {
            "cross_entropy": functional.cross_entropy(scores, batch.labels),
            "margin": self.recipe.margin_weight * margin,
        }
