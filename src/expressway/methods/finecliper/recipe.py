"""Recipe and description of FineCLIPER: protocols, stores, values."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from expressway.core.errors import ConfigError
from expressway.core.specs import Need
from expressway.methods import description as base
from expressway.methods.description import Phase

Modality = Literal["frames", "parsing", "landmarks", "captions"]

Adapted = Literal["images", "positive", "negative", "captions"]

NOT_RELEASED = "nothing was released: there is no published behaviour to reproduce"

IMAGES = ("frames", "parsing", "landmarks")

FACES = Need("faces", ("valid", "crops"), stream=True)

PARSING = Need("parsing", ("valid", "masks"), stream=True)

LANDMARKS = Need("landmarks", ("valid", "points"), stream=True)

TEXTS = Need("text_embeddings", ("texts",), filled="texts")


class Recipe(base.Recipe):
    """FineCLIPER's recipe; the paper states few values (section 5). No origin named: ours."""

    epochs: int = Field(30, ge=0, description="paper: not stated; AIM: 30")
    batch_size: int | None = Field(64, ge=1, description="paper: not stated; AIM: 64")
    optimiser: Literal["sgd", "adamw"] = Field("adamw", description="paper: not stated; AIM: adamw")
    learning_rate: float = Field(
        3e-4, gt=0, description="at 64 clips a step, scale it with them; AIM: 3e-4"
    )
    weight_decay: float = Field(
        0.05, ge=0, description="on matrices only: not on biases, norms, positions; AIM: 0.05"
    )
    schedule: Literal["constant", "milestones", "cosine"] = Field(
        "cosine", description="paper: not stated; AIM: cosine"
    )
    warmup_epochs: float = Field(2.5, ge=0, description="AIM: 2.5")
    modalities: tuple[Modality, ...] = Field(
        ("frames", "parsing", "landmarks", "captions"),
        min_length=1,
        description="paper: plain frames; * adds parsing and landmarks; dagger adds captions",
    )
    caption_text: Literal["captions.refined", "captions.raw", "text_embeddings"] = Field(
        "captions.refined", description="store and column of the captions; paper: refined"
    )
    frames: int = Field(16, ge=1, description="of a clip, one per segment; paper: 16 (a figure)")
    adapters: tuple[Adapted, ...] = Field(
        ("images", "positive", "negative", "captions"),
        description="which towers have adapters; paper: all",
    )
    adapter_width: float = Field(
        0.25, gt=0, description="of adapters, as a share of the tower's up to 1; AIM: 0.25"
    )
    cue_width: float = Field(
        0.125, gt=0, description="the same for parsing and landmarks; 84 fits the paper's counts"
    )
    scale: float = Field(0.5, ge=0, description="of adapters beside the MLP; paper: 0.5")
    drop_path: float = Field(0.1, ge=0, lt=1, description="of adapters beside the MLP; AIM: 0.1")
    temporal: Literal["transformer", "mean", "aim"] = Field(
        "transformer", description="frames to clip: DFER-CLIP's transformer, mean, AIM's adapters"
    )
    heads: int = Field(8, ge=1, description="of the temporal transformer; DFER-CLIP: 8")
    head_dim: int = Field(64, ge=1, description="of the temporal transformer; DFER-CLIP: 64")
    mlp_dim: int = Field(1024, ge=1, description="of the temporal transformer; DFER-CLIP: 1024")
    init_std: float = Field(
        1.0, ge=0, description="of its summary token and positions; DFER-CLIP: 1"
    )
    fusion: Literal["adaptive", "fixed", "learned"] = Field(
        "adaptive", description="weights of the modalities; paper: adaptive, formula not stated"
    )
    fusion_temperature: float = Field(
        0.1, gt=0, description="of adaptive weights; paper: not stated"
    )
    first_weight: float = Field(
        0.5, ge=0, le=1, description="of the first modality in fixed fusion; paper: 0.1 to 0.9"
    )
    temperature: float = Field(0.01, gt=0, description="of class scores, frozen; CLIP: 0.01")
    negator: str = Field("no", min_length=1, description="paper: no (less was worse)")
    pn_split: bool = Field(
        False, description="cross entropies of both kinds of sentences instead of the difference"
    )
    frames_loss: float = Field(0.5, ge=0, description="weight of classifying by frames alone")
    alignment_loss: float = Field(0.5, ge=0, description="weight of clip against caption")
    crop_area: tuple[float, float] = Field((0.6, 1.0), description="share of a face that is kept")
    crop_ratio: tuple[float, float] = Field((0.75, 1.3333), description="width over height of it")
    flip: float = Field(0.5, ge=0, le=1, description="probability of a mirror image")
    rotation: float = Field(0.0, ge=0, description="degrees to either side; DFER-CLIP: 4")
    checkpointing: bool = Field(False, description="compute blocks twice to save memory")

    @model_validator(mode="after")
    def _something_to_train(self) -> Self:
        if not self.adapters and self.temporal != "transformer":
            raise ValueError("without adapters and temporal transformer nothing is trained")
        if self.published:
            raise ValueError(NOT_RELEASED)
        return self

    @property
    def pictures(self) -> tuple[Modality, ...]:
        """The modalities that are image streams."""
        return tuple(name for name in self.modalities if name in IMAGES)


class Description(base.Description):
    """Names, protocols, stores."""

    name = "finecliper"
    title = "FineCLIPER"
    phrase = "FineCLIPER"
    citation = (
        "Chen, Huang, Dong, Zheng and Shao. FineCLIPER: multi-modal fine-grained CLIP for "
        "dynamic facial expression recognition with AdaptERs. ACM MM 2024. arXiv 2407.02157."
    )
    reference = "Chen, Huang, Dong, Zheng and Shao, ACM MM 2024, arXiv 2407.02157"
    protocols: ClassVar[tuple[str, ...]] = (
        "zero_shot",
        "supervised",
        "leave_one_out",
        "open_set",
        "compound",
    )
    refusals: ClassVar[Mapping[str, str]] = {
        "regression": "it compares clips with texts and predicts no numbers"
    }
    loss_over_batch: ClassVar[Mapping[str, str]] = dict.fromkeys(protocols, base.CONTRASTIVE)
    needs: ClassVar[Mapping[Phase, tuple[Need, ...]]] = dict.fromkeys(
        ("train", "predict"),
        (FACES, PARSING, LANDMARKS, Need("captions", ("refined", "raw")), TEXTS),
    )
    recipe_type: ClassVar[type[base.Recipe]] = Recipe

    @classmethod
    def needs_backbone(cls, recipe: Any) -> bool:
        """Return True: the adapters sit inside the backbone."""
        return True

    @classmethod
    def planned(cls, recipe: Any, protocol: str, phase: Phase) -> tuple[Need, ...]:
        """Return the stores; of a model that learned from captions, test sets need no captioner."""
        found = cls.stores(recipe, protocol, phase)
        if (protocol, phase) != ("zero_shot", "predict"):
            return found
        return tuple(need for need in found if need.stage != caption_source(recipe)[0])

    @classmethod
    def stores(cls, recipe: Any, protocol: str, phase: Phase) -> tuple[Need, ...]:
        """Return the stores of the recipe's modalities; clips may lack all but the first of them.

        Raises:
            ConfigError: zero_shot cannot be trained on these modalities.
        """
        if (protocol, phase) != ("zero_shot", "train"):
            return needs(recipe, {recipe.modalities[0]})
        if not recipe.pictures or "captions" not in recipe.modalities:
            raise ConfigError("finecliper: zero_shot learns images from captions; modalities: both")
        return needs(recipe, {recipe.pictures[0], "captions"})


def needs(recipe: Any, required: set[str]) -> tuple[Need, ...]:
    """Return the stores of a recipe's modalities; those that are not required may be missing."""
    stage, column = caption_source(recipe)
    captions = Need(stage, (column,), filled=column)
    known = {"parsing": PARSING, "landmarks": LANDMARKS, "captions": captions}
    cues = tuple(
        replace(known[name], optional=name not in required)
        for name in recipe.modalities
        if name in known
    )
    return (FACES, *cues) if recipe.pictures else cues


def caption_source(recipe: Any) -> tuple[str, str]:
    """Return store and column of the captions."""
    stage, _, column = recipe.caption_text.partition(".")
    return stage, column or "texts"
