"""Recipe and description of the linear probe: protocols, stores, values."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from expressway.core.specs import Need
from expressway.methods import description as base
from expressway.methods.description import Phase

FEATURES = Need("visual_features", ("valid", "features"))

CLASSES_ARE_WEIGHTS = (
    "its classes are weights, so it cannot name a class by a text; use clip or emoclip"
)


class Recipe(base.Recipe):
    """A convex fit; CLIP's paper (section 3.2) fits its probes by L-BFGS as well."""

    epochs: int = Field(15, ge=0, description="rounds of at most 20 L-BFGS iterations")
    batch_size: int | None = Field(None, ge=1, description="null: the whole training part at once")
    optimiser: Literal["sgd", "adamw", "lbfgs"] = Field("lbfgs", description="paper: lbfgs")
    learning_rate: float = Field(1.0, gt=0, description="first step of the line search")
    weight_decay: float = Field(
        1e-2, ge=0, description="L2 on the weights of standardised features; paper: by validation"
    )
    known_score: Literal["max_softmax", "max_logit"] = Field(
        "max_softmax", description="open_set: largest probability, or largest score; paper: none"
    )


class Description(base.Description):
    """Names, protocols, stores."""

    name = "linear"
    title = "Linear probe"
    phrase = "a linear probe on frozen CLIP features"
    reference = "Radford et al., ICML 2021, arXiv 2103.00020, section 3.2"
    protocols: ClassVar[tuple[str, ...]] = ("supervised", "open_set", "regression")
    refusals: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("zero_shot", "leave_one_out", "compound"), CLASSES_ARE_WEIGHTS
    )
    loss_over_batch: ClassVar[Mapping[str, str]] = {"regression": base.MEAN_OVER_LABELLED}
    class_texts = False
    needs: ClassVar[Mapping[Phase, tuple[Need, ...]]] = {
        "train": (FEATURES,),
        "predict": (FEATURES,),
    }
    recipe_type: ClassVar[type[base.Recipe]] = Recipe
