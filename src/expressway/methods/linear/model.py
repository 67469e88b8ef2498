"""A linear probe on frozen CLIP features: the baseline every trained method is shown against.

Multinomial logistic regression on the mean of a clip's frames, or ridge regression where numbers
are predicted, fitted by L-BFGS to the minimum of a convex loss, so that neither step size nor
seed decides the result.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from expressway.data.clips import Batch, Rows, Sample
from expressway.methods import base
from expressway.methods.base import Context, Method
from expressway.methods.blocks.frames import frame_mean
from expressway.methods.blocks.gather import gather
from expressway.methods.blocks.regression import check_filled, squared_errors
from expressway.methods.linear.recipe import Description, Recipe


class Linear(Description, Method[Recipe]):
    """A linear map of standardised frame-mean features: a softmax, or numbers."""

    centre: Tensor
    spread: Tensor

    def __init__(self, recipe: Recipe, context: Context) -> None:
        super().__init__(recipe, context)
        self.register_buffer("centre", torch.zeros(context.dim))
        self.register_buffer("spread", torch.ones(context.dim))
        self.head = nn.Linear(context.dim, len(context.labels))
        # the loss is convex: zeros are as good as any start, and need no seed
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def begin(self, batches: Iterable[Batch]) -> None:
        """Measure mean and spread of the features over the training part.

        Raises:
            ConfigError: no training clip has some target.
        """
        found = list(batches)
        if self.context.protocol == "regression":
            check_filled(torch.cat([batch.targets for batch in found]), self.context.labels)
        features = torch.cat([batch["mean"] for batch in found])
        self.centre = features.mean(0)
        self.spread = features.std(0, correction=0).clamp_min(1e-6)

    def sample(self, rows: Rows, random: np.random.Generator, training: bool) -> Sample:
        """Return ``mean`` (D,)."""
        return {"mean": frame_mean(rows["visual_features"])}

    def encode_clips(self, batch: Batch) -> Tensor:
        """Return (batch, D) features with the training part's mean 0 and variance 1."""
        return (batch["mean"] - self.centre) / self.spread

    def encode_texts(self) -> Tensor:
        """Return (classes, D): a probe's class vectors are its weights."""
        return self.head.weight

    def scores(self, batch: Batch) -> Tensor:
        """Return (batch, classes) logits, or (batch, targets) numbers."""
        return functional.linear(self.encode_clips(batch), self.encode_texts(), self.head.bias)

    def known_scores(self, scores: Tensor) -> Tensor:
        """Return (batch,): the largest probability, or the largest logit."""
        return base.largest(scores, self.recipe.known_score)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Cross entropy, or half the squared error, plus half the squared weights' penalty.

        The penalty is ``weight_decay`` / 2 times the sum of the squared weights; biases are free.
        """
        terms = self._misfit(batch)
        if self.recipe.optimiser != "lbfgs":
            return terms
        return {**terms, "penalty": self.recipe.weight_decay / 2 * self.head.weight.square().sum()}

    def _misfit(self, batch: Batch) -> dict[str, Tensor]:
        if self.context.protocol == "regression":
            predicted, targets = gather(self.scores(batch)), gather(batch.targets)
            return {"squared_error": squared_errors(predicted, targets).sum() / 2}
        return {"cross_entropy": functional.cross_entropy(self.scores(batch), batch.labels)}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return weight and bias apart, since only the weight decays."""
        if self.recipe.optimiser == "lbfgs":
            return super().parameter_groups()
        return [{"params": [self.head.weight]}, {"params": [self.head.bias], "weight_decay": 0.0}]
