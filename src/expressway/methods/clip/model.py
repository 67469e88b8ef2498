"""CLIP without any training: the mean of the frames against texts that name the classes.

Radford et al., ICML 2021, arXiv 2103.00020. The baseline of every zero-shot number.
"""

import numpy as np
from torch import Tensor
from torch.nn import functional

from expressway.core.errors import ConfigError
from expressway.data.clips import Batch, Rows, Sample
from expressway.methods import base
from expressway.methods.base import Context, Method
from expressway.methods.blocks.frames import frame_mean
from expressway.methods.clip.recipe import Description, Recipe


class CLIP(Description, Method[Recipe]):
    """Zero-shot CLIP; prompts of a class are averaged as unit vectors (ensemble rule)."""

    def __init__(self, recipe: Recipe, context: Context) -> None:
        super().__init__(recipe, context)
        self.scale = float(np.exp(context.logit_scale))

    def sample(self, rows: Rows, random: np.random.Generator, training: bool) -> Sample:
        """Return ``mean`` (D,)."""
        return {"mean": frame_mean(rows["visual_features"])}

    def encode_clips(self, batch: Batch) -> Tensor:
        """Return (batch, D) unit vectors: the normalised mean of the normalised frames."""
        return functional.normalize(batch["mean"], dim=-1)

    def scores(self, batch: Batch) -> Tensor:
        """Return (batch, classes): CLIP's temperature times the cosines to the class texts."""
        return self.scale * self.encode_clips(batch) @ self.encode_texts().T

    def known_scores(self, scores: Tensor) -> Tensor:
        """Return (batch,): the largest probability, or the largest score."""
        return base.largest(scores, self.recipe.known_score)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Refuse: there is nothing to train."""
        raise ConfigError("method clip is not trained; use linear or emoclip")
