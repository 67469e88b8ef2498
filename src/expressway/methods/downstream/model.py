"""EmoCLIP's downstream head: numbers or classes from the video encoder that it learned.

Foteinopoulou and Patras, FG 2024, arXiv 2310.16640: symptom severities of clinical interviews. A
two-layer perceptron reads the state of the summary token; image tower frozen, temporal module
trained along, usually from a model of emoclip's (``start_from``). Section numbers are those of
docs/methods/emoclip.md; the head's own page is docs/methods/downstream.md.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from expressway.data.clips import Batch, Rows, Sample
from expressway.methods.base import Context
from expressway.methods.blocks.gather import gather
from expressway.methods.blocks.regression import (
    check_filled,
    discordance,
    spread_of,
    squared_errors,
)
from expressway.methods.blocks.video import VideoMethod
from expressway.methods.downstream.recipe import Description, Recipe


class Downstream(Description, VideoMethod[Recipe]):
    """A perceptron with one hidden layer on EmoCLIP's video encoder."""

    centre: Tensor
    spread: Tensor

    def __init__(self, recipe: Recipe, context: Context) -> None:
        super().__init__(recipe, context)
        outputs = len(context.labels)
        self.head = nn.Sequential(
            nn.Linear(context.dim, recipe.hidden), nn.ReLU(), nn.Linear(recipe.hidden, outputs)
        )
        # numbers are learned in units of their spread, whatever scale they are on
        self.register_buffer("centre", torch.zeros(outputs))
        self.register_buffer("spread", torch.ones(outputs))

    def begin(self, batches: Iterable[Batch]) -> None:
        """Measure mean and spread of the numbers over the training part.

        Raises:
            ConfigError: no training clip has some target.
        """
        if self.context.protocol == "regression":
            targets = torch.cat([batch.targets for batch in batches])
            check_filled(targets, self.context.labels)
            self.centre, self.spread = spread_of(targets)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return temporal module and head, and a tuned tower with its own step size."""
        return [
            {"params": [*self.temporal.parameters(), *self.head.parameters()]},
            *self.tower_groups(),
        ]

    def sample(self, rows: Rows, random: np.random.Generator, training: bool) -> Sample:
        """Return ``frames``: (frames, D) cached features, or uint8 (frames, 3, height, width)."""
        return {"frames": self.frames(rows, random, training)}

    def encode_clips(self, batch: Batch) -> Tensor:
        """Return (batch, D): the state of the summary token, not normalised (section 2)."""
        return self.video_vectors(batch)

    def encode_texts(self) -> Tensor:
        """Return (outputs, hidden): the weights of the last layer."""
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        return last.weight

    def scores(self, batch: Batch) -> Tensor:
        """Return (batch, classes) logits, or (batch, targets) numbers on their own scales."""
        return self.head(self.encode_clips(batch)).float() * self.spread + self.centre

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross entropy; for numbers the squared error in units of their spread, or 1 - CCC."""
        scores = self.scores(batch)
        if self.context.protocol != "regression":
            return {"cross_entropy": functional.cross_entropy(scores, batch.labels)}
        predicted, targets = (
            (gather(values) - self.centre) / self.spread for values in (scores, batch.targets)
        )
        if self.recipe.loss == "concordance":
            return {"discordance": discordance(predicted, targets)}
        return {"squared_error": squared_errors(predicted, targets).mean()}
