"""Recipe and description of Exp-CLIP: protocols, stores, values."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from expressway.core.specs import Need
from expressway.methods import description as base
from expressway.methods.description import Phase

FEATURES = Need("visual_features", ("source_index", "valid", "features"))

TEACHER = Need("teacher_embeddings", ("source_index", "embeddings"))

NO_LABELS = "it learns without labels; use zero_shot, which any class names can be asked of"


class Recipe(base.Recipe):
    """Exp-CLIP's recipe; the defaults are those of the release's training (section 5)."""

    epochs: int = Field(5, ge=0, description="paper: 5, last epoch kept")
    batch_size: int | None = Field(512, ge=1, description="paper: 512 on one GPU")
    optimiser: Literal["sgd", "adamw", "lbfgs"] = Field("sgd", description="paper: sgd")
    learning_rate: float = Field(1e-3, gt=0, description="paper: 1e-3, never lowered")
    momentum: float = Field(0.9, ge=0, lt=1, description="paper: 0.9")
    weight_decay: float = Field(1e-4, ge=0, description="paper: 1e-4")
    teacher_dim: int = Field(
        4096, ge=1, description="width of the teacher's vectors; paper: 4096 (Flan-T5-XXL)"
    )
    frames: int = Field(16, ge=1, description="frames of a clip that are averaged; paper: 16")
    ensemble: Literal["logits", "embeddings"] = Field(
        "logits", description="what is averaged over the texts of a class; paper: logits"
    )


class Description(base.Description):
    """Names, protocols, stores."""

    name = "expclip"
    title = "Exp-CLIP"
    phrase = "Exp-CLIP"
    citation = (
        "Zhao, Cao, Gong and Patras. Enhancing zero-shot facial expression recognition by LLM"
        " knowledge transfer. WACV 2025. arXiv 2405.19100."
    )
    reference = "Zhao, Cao, Gong and Patras, WACV 2025, arXiv 2405.19100"
    protocols: ClassVar[tuple[str, ...]] = ("zero_shot", "open_set", "compound")
    refusals: ClassVar[Mapping[str, str]] = {
        "supervised": NO_LABELS,
        "leave_one_out": base.NO_TRAINING_CLASSES,
        "regression": "it has texts to compare with, and no numbers",
    }
    loss_over_batch: ClassVar[Mapping[str, str]] = dict.fromkeys(protocols, base.CONTRASTIVE)
    needs: ClassVar[Mapping[Phase, tuple[Need, ...]]] = {
        "train": (FEATURES, TEACHER),
        "predict": (FEATURES,),
    }
    recipe_type: ClassVar[type[base.Recipe]] = Recipe
