"""Recipe and description of EmoCLIP: protocols, stores, values."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from expressway.core.specs import Need
from expressway.methods import description as base
from expressway.methods.blocks.video_recipe import FACES, FEATURES, VideoDescription, VideoRecipe
from expressway.methods.description import Phase

CAPTIONS = Need("text_embeddings", ("texts", "embeddings"), filled="texts")


class Recipe(VideoRecipe):
    """EmoCLIP's recipe; the defaults are those of the release's MAFW training (section 5)."""

    epochs: int = Field(30, ge=0, description="paper: 30 on MAFW captions, 15 to 50 elsewhere")
    batch_size: int | None = Field(64, ge=1, description="paper: 64 per process on two GPUs")
    optimiser: Literal["sgd", "adamw"] = Field("sgd", description="paper: sgd")
    learning_rate: float = Field(1e-3, gt=0, description="paper: 1e-3")
    momentum: float = Field(0.9, ge=0, lt=1, description="paper: 0.9")
    weight_decay: float = Field(5e-4, ge=0, description="paper: 5e-4, on all trained tensors")
    schedule: Literal["constant", "milestones", "cosine"] = Field(
        "milestones", description="paper: milestones"
    )
    milestones: tuple[int, ...] = Field((15, 35, 50), description="paper: 15, 35, 50")
    scale_rate: float = Field(
        1.0, ge=0, description="step size of the logit scale, as a factor of the others'; paper: 1"
    )
    soft_targets: bool = Field(
        False, description="count equal texts in a batch as matches; paper: no, they repel"
    )


class Description(VideoDescription):
    """Names, protocols, stores."""

    name = "emoclip"
    title = "EmoCLIP"
    phrase = "EmoCLIP"
    citation = (
        "Foteinopoulou and Patras. EmoCLIP: a vision-language method for zero-shot video "
        "facial expression recognition. FG 2024. arXiv 2310.16640."
    )
    reference = "Foteinopoulou and Patras, FG 2024, arXiv 2310.16640"
    protocols: ClassVar[tuple[str, ...]] = (
        "zero_shot",
        "supervised",
        "leave_one_out",
        "open_set",
        "compound",
    )
    refusals: ClassVar[Mapping[str, str]] = {
        "regression": "it compares with texts; use downstream, started from it"
    }
    loss_over_batch: ClassVar[Mapping[str, str]] = dict.fromkeys(protocols, base.CONTRASTIVE)
    needs: ClassVar[Mapping[Phase, tuple[Need, ...]]] = {
        "train": (FEATURES, FACES, CAPTIONS),
        "predict": (FEATURES, FACES),
    }
    recipe_type: ClassVar[type[base.Recipe]] = Recipe

    @classmethod
    def stores(cls, recipe: Any, protocol: str, phase: Phase) -> tuple[Need, ...]:
        """Captions are read only when clips are trained with their own captions."""
        frames = cls.frames_of(recipe)
        captioned = phase == "train" and not cls.trains_on_class_texts(protocol)
        return (frames, CAPTIONS) if captioned else (frames,)

    @classmethod
    def needs_backbone(cls, recipe: Any) -> bool:
        """Only tuned towers are built from the backbone."""
        return bool(recipe.tune != "frozen")
