"""Recipe and description of HESP: protocols, stores, values."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from expressway.core.specs import Need
from expressway.methods import description as base
from expressway.methods.description import Phase

FACES = Need("faces", ("source_index", "valid", "crops"), stream=True)

ATTENTION = Need("attention", ("labels", "scores", "windows", "image_size"))

TRAINED_CLASSES = "its contexts and negative images belong to the classes it was trained on"


class Recipe(base.Recipe):
    """HESP's recipe; the defaults are those of the release (section 5)."""

    epochs: int = Field(100, ge=0, description="paper: 100")
    batch_size: int | None = Field(64, ge=1, description="paper: 64")
    optimiser: Literal["sgd"] = Field("sgd", description="paper: sgd, beside normalised steps")
    learning_rate: float = Field(0.01, gt=0, description="of contexts and radius; paper: 0.01")
    momentum: float = Field(0.9, ge=0, lt=1, description="paper: 0.9")
    weight_decay: float = Field(1e-4, ge=0, description="paper: 1e-4")
    schedule: Literal["constant", "milestones", "cosine"] = Field(
        "milestones", description="of all steps; paper: milestones, normalised steps constant"
    )
    milestones: tuple[int, ...] = Field((30, 60, 90, 120), description="paper: 30, 60, 90, 120")
    frames: int = Field(8, ge=1, description="frames of a clip that are averaged; paper: 8")
    crop_area: tuple[float, float] = Field(
        (0.08, 1.0), description="share of the face that a training view keeps; paper: 0.08 to 1"
    )
    context_tokens: int = Field(
        16, ge=1, description="learned tokens in front of each class name; paper: 16"
    )
    negative_contexts: Literal["fixed", "learned"] = Field(
        "fixed", description="whether negative sentences get learned tokens, too; paper: fixed"
    )
    step_patch: float = Field(
        0.515491,
        ge=0,
        description="root mean square of a step of the patch, pixels counting from 0 to 1; "
        "paper: 0.515491, a step of length 50 at 56 x 56",
    )
    step_negative: float = Field(
        0.128873,
        ge=0,
        description="the same of a negative image; paper: 0.128873, length 50 at 224 x 224",
    )
    centre_distances: bool = Field(
        False,
        description="judge the known classes by its distances beyond their mean over the "
        "classes; paper: no",
    )
    checkpointing: bool = Field(
        False, description="compute the image tower twice instead of keeping its states"
    )

    @model_validator(mode="after")
    def _as_released(self) -> Self:
        if self.published and self.negative_contexts == "learned":
            raise ValueError("published: true goes with negative_contexts: fixed")
        if not 0 < self.crop_area[0] <= self.crop_area[1] <= 1:
            raise ValueError(f"crop_area must rise within 0 to 1: {self.crop_area}")
        return self


class Description(base.Description):
    """Names, protocols, stores."""

    name = "hesp"
    title = "HESP"
    phrase = "HESP"
    citation = (
        "Liu, Huang, Liu, Zhan, Chen and Chen. Open-set video-based facial expression "
        "recognition with human expression-sensitive prompting. ACM MM 2024. arXiv "
        "2404.17100."
    )
    reference = "Liu et al., ACM MM 2024, arXiv 2404.17100"
    protocols: ClassVar[tuple[str, ...]] = ("open_set", "supervised")
    refusals: ClassVar[Mapping[str, str]] = {
        "zero_shot": TRAINED_CLASSES,
        "leave_one_out": TRAINED_CLASSES,
        "compound": TRAINED_CLASSES,
        "regression": "it has classes to be known or unknown, and no numbers",
    }
    loss_over_batch: ClassVar[Mapping[str, str]] = dict.fromkeys(protocols, base.CONTRASTIVE)
    class_texts = False
    needs: ClassVar[Mapping[Phase, tuple[Need, ...]]] = {
        "train": (FACES, ATTENTION),
        "predict": (FACES, ATTENTION),
    }
    recipe_type: ClassVar[type[base.Recipe]] = Recipe

    @classmethod
    def trains_on_class_texts(cls, protocol: str) -> bool:
        """Texts are read with the contexts in front, when the method is made."""
        return False

    @classmethod
    def needs_backbone(cls, recipe: Any) -> bool:
        """Every clip goes through the image tower with the patch on it."""
        return True

    @classmethod
    def stores(cls, recipe: Any, protocol: str, phase: Phase) -> tuple[Need, ...]:
        """The release has one window for all clips, so it reads none of a clip."""
        return (FACES,) if recipe.published else cls.needs[phase]
