"""Recipe and description of ARPL: protocols, stores, values."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from expressway.core.specs import Need
from expressway.methods import description as base
from expressway.methods.description import Phase

FEATURES = Need("visual_features", ("valid", "features"))

CLASSES_ARE_POINTS = (
    "its classes are points, so it cannot name a class by a text; use clip or emoclip"
)


class Recipe(base.Recipe):
    """The release's training of CIFAR and SVHN."""

    epochs: int = Field(100, ge=0, description="passes over the training part; paper: 100")
    batch_size: int | None = Field(64, ge=1, description="clips per step; paper: 64")
    learning_rate: float = Field(0.1, gt=0, description="paper: 0.1")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd; paper: 0.9")
    weight_decay: float = Field(1e-4, ge=0, description="on points and radius; paper: 0.0001")
    schedule: Literal["constant", "milestones", "cosine"] = Field(
        "milestones", description="paper: milestones"
    )
    milestones: tuple[int, ...] = Field((30, 60, 90, 120), description="paper: 30, 60, 90, 120")
    margin_weight: float = Field(0.1, ge=0, description="of the bounded space; paper: 0.1")
    temperature: float = Field(1.0, gt=0, description="divides the scores; paper: 1")


class Description(base.Description):
    """Names, protocols, stores."""

    name = "arpl"
    title = "ARPL"
    phrase = "ARPL on frozen CLIP features"
    citation = (
        "Chen, Peng, Wang and Tian. Adversarial reciprocal points learning for open set "
        "recognition. TPAMI 2022. arXiv 2103.00953."
    )
    reference = "Chen et al., TPAMI 2022, arXiv 2103.00953"
    protocols: ClassVar[tuple[str, ...]] = ("open_set", "supervised")
    refusals: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("zero_shot", "leave_one_out", "compound"), CLASSES_ARE_POINTS),
        "regression": "its points stand for classes; use linear for numbers",
    }
    class_texts = False
    needs: ClassVar[Mapping[Phase, tuple[Need, ...]]] = {
        "train": (FEATURES,),
        "predict": (FEATURES,),
    }
    recipe_type: ClassVar[type[base.Recipe]] = Recipe
