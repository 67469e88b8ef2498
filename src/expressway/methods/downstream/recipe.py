"""Recipe and description of EmoCLIP's downstream head: protocols, stores, values."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from expressway.core.specs import Need
from expressway.methods import description as base
from expressway.methods.blocks.video_recipe import FACES, FEATURES, VideoDescription, VideoRecipe
from expressway.methods.description import Phase

CLASSES_ARE_WEIGHTS = "its classes are weights, so it cannot name a class by a text; use emoclip"


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


class Description(VideoDescription):
    """Names, protocols, stores."""

    name = "downstream"
    title = "EmoCLIP, downstream head"
    phrase = "EmoCLIP's video encoder under a head of its own"
    reference = "Foteinopoulou and Patras, FG 2024, arXiv 2310.16640"
    protocols: ClassVar[tuple[str, ...]] = ("regression", "supervised")
    refusals: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("zero_shot", "leave_one_out", "compound"), CLASSES_ARE_WEIGHTS),
        "open_set": "it is for numbers and classes that all are known; use linear or arpl",
    }
    loss_over_batch: ClassVar[Mapping[str, str]] = {"regression": base.MEAN_OVER_LABELLED}
    inherits: ClassVar[tuple[str, ...]] = ("temporal.", "visual.", "head.0.")
    class_texts = False
    needs: ClassVar[Mapping[Phase, tuple[Need, ...]]] = dict.fromkeys(
        ("train", "predict"), (FEATURES, FACES)
    )
    recipe_type: ClassVar[type[base.Recipe]] = Recipe

    @classmethod
    def stores(cls, recipe: Any, protocol: str, phase: Phase) -> tuple[Need, ...]:
        """Cached features, or face crops for a tuned image tower."""
        return (cls.frames_of(recipe),)

    @classmethod
    def needs_backbone(cls, recipe: Any) -> bool:
        """Only a tuned tower is built from the backbone."""
        return bool(recipe.tune != "frozen")
