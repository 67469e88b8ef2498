"""Recipe and description of CLIP: protocols, stores, values."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from expressway.core.specs import Need
from expressway.methods import description as base
from expressway.methods.description import Phase


class Recipe(base.Recipe):
    """Nothing is trained; what can be set is how known and unknown classes are told apart."""

    epochs: int = Field(0, ge=0, le=0, description="clip is not trained")
    known_score: Literal["max_softmax", "max_logit"] = Field(
        "max_softmax", description="open_set: largest probability, or largest score; paper: none"
    )


class Description(base.Description):
    """Names, protocols, stores."""

    name = "clip"
    title = "CLIP (zero-shot)"
    phrase = "CLIP without training"
    citation = (
        "Radford et al. Learning transferable visual models from natural language "
        "supervision. ICML 2021. arXiv 2103.00020."
    )
    reference = "Radford et al., ICML 2021, arXiv 2103.00020"
    trained = False
    protocols: ClassVar[tuple[str, ...]] = ("zero_shot", "open_set", "compound")
    refusals: ClassVar[Mapping[str, str]] = {
        "supervised": "nothing in it is trained; use linear for a probe",
        "leave_one_out": base.NO_TRAINING_CLASSES,
        "regression": "it has texts to compare with, and no numbers; use linear for a probe",
    }
    needs: ClassVar[Mapping[Phase, tuple[Need, ...]]] = {
        "train": (),
        "predict": (Need("visual_features", ("valid", "features")),),
    }
    recipe_type: ClassVar[type[base.Recipe]] = Recipe
