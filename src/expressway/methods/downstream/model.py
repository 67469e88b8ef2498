"""EmoCLIP's downstream head: numbers or classes from the video encoder that it learned.

Foteinopoulou and Patras, FG 2024, arXiv 2310.16640: symptom severities of clinical interviews. A
two-layer perceptron reads the state of the summary token; image tower frozen, temporal module
trained along, usually from a model of emoclip's (``start_from``). Section numbers are those of
docs/methods/emoclip.md; the head's own page is docs/methods/downstream.md.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from expressway.data.clips import Batch, Need, Rows, Sample
from expressway.methods.base import Context, Phase
from expressway.methods.blocks.gather import gather
from expressway.methods.blocks.regression import (
    OVER_KNOWN,
    check_filled,
    discordance,
    spread_of,
    squared_errors,
)
from expressway.methods.blocks.video import FACES, FEATURES, VideoMethod, VideoRecipe

BY_WEIGHTS = "its classes are weights, so it cannot name a class by a text; use emoclip"


class Recipe(VideoRecipe):
    """How the head is trained; the release has no training script for it."""

    epochs: int = Field(30, ge=0, description="paper: not released")
    batch_size: int | None = Field(64, ge=1, description="paper: not released")
    optimiser: Literal["sgd", "adamw"] = Field("adamw", description="paper: not released")
    learning_rate: float = Field(1e-4, gt=0, description="paper: not released")
    weight_decay: float = Field(0.01, ge=0, description="paper: not released")
    schedule: Literal["constant", "milestones", "cosine"] = Field(
        "cosine", description="paper: not released"
    )
    tune: Literal["frozen", "visual"] = Field(
        "frozen", description="visual: train the image tower as well; paper: frozen"
    )
    hidden: int = Field(256, ge=1, description="width of the head's hidden layer; paper: 256")
    loss: Literal["squared_error", "concordance"] = Field(
        "squared_error", description="for numbers: MSE, or 1 - CCC; paper: not released"
    )


class Downstream(VideoMethod[Recipe]):
    """A perceptron with one hidden layer on EmoCLIP's video encoder."""

    name = "downstream"
    title = "EmoCLIP, downstream head"
    reference = "Foteinopoulou and Patras, FG 2024, arXiv 2310.16640"
    protocols = ("regression", "supervised")
    refusals: ClassVar = {
        **dict.fromkeys(("zero_shot", "leave_one_out", "compound"), BY_WEIGHTS),
        "open_set": "it is for numbers and classes that all are known; use linear or arpl",
    }
    loss_over_batch: ClassVar = {"regression": OVER_KNOWN}
    inherits = ("temporal.", "visual.", "head.0.")
    class_texts = False
    needs: ClassVar = dict.fromkeys(("train", "predict"), (FEATURES, FACES))
    recipe_type = Recipe

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

    @classmethod
    def import_release(cls, file: Path, out: Path, backbone: str | None) -> Path:
        """Write the authors' downstream checkpoint as a model folder to start from (section 9)."""
        from expressway.methods.releases.emoclip import import_release

        return import_release(file, out, backbone)

    @classmethod
    def stores(cls, recipe: Any, protocol: str, phase: Phase) -> tuple[Need, ...]:
        """Cached features, or face crops for a tuned image tower."""
        return (cls.frames_of(recipe),)

    @classmethod
    def needs_backbone(cls, recipe: Any) -> bool:
        """Only a tuned tower is built from the backbone."""
        return bool(recipe.tune != "frozen")

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
