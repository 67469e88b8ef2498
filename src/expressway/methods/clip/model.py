"""CLIP without any training: the mean of the frames against texts that name the classes.

Radford et al., ICML 2021, arXiv 2103.00020. The baseline of every zero-shot number.
"""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from expressway.core.errors import ConfigError
from expressway.data.clips import Batch, Need, Rows, Sample
from expressway.methods import base
from expressway.methods.base import Context, Method
from expressway.methods.blocks.frames import frame_mean


class Recipe(base.Recipe):
    """Nothing is trained; what can be set is how known and unknown classes are told apart."""

    epochs: int = Field(0, ge=0, le=0, description="clip is not trained")
    known_score: Literal["max_softmax", "max_logit"] = Field(
        "max_softmax", description="open_set: largest probability, or largest score; paper: none"
    )


class CLIP(Method[Recipe]):
    """Zero-shot CLIP; prompts of a class are averaged as unit vectors (ensemble rule)."""

    name = "clip"
    title = "CLIP (zero-shot)"
    reference = "Radford et al., ICML 2021, arXiv 2103.00020"
    trained = False
    protocols = ("zero_shot", "open_set", "compound")
    refusals: ClassVar = {
        "supervised": "nothing in it is trained; use linear for a probe",
        "leave_one_out": base.NOTHING_SEEN,
        "regression": "it has texts to compare with, and no numbers; use linear for a probe",
    }
    needs: ClassVar = {
        "train": (),
        "predict": (Need("visual_features", ("valid", "features")),),
    }
    recipe_type = Recipe

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
