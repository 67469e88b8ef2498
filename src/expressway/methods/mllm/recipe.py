"""Recipe and description of multimodal language models: protocols, stores, values."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from expressway.core.specs import Need
from expressway.methods import description as base
from expressway.methods.description import Phase

ANSWERS = Need("text_embeddings", ("texts", "embeddings"), filled="texts")


class Recipe(base.Recipe):
    """Nothing is trained; which model is asked what stands in the captions variant."""

    epochs: int = Field(0, ge=0, le=0, description="mllm is not trained")


class Description(base.Description):
    """Names, protocols, stores."""

    name = "mllm"
    title = "Multimodal language model (zero-shot)"
    phrase = "a label-constrained multimodal language model"
    reference = "the captioner's own"
    trained = False
    protocols: ClassVar[tuple[str, ...]] = ("zero_shot",)
    refusals: ClassVar[Mapping[str, str]] = {
        "supervised": "nothing in it is trained",
        "leave_one_out": base.NO_TRAINING_CLASSES,
        "open_set": "an answer is one of the classes it was told, without a confidence",
        "compound": "it is asked for one class",
        "regression": "it is asked for a class",
    }
    needs: ClassVar[Mapping[Phase, tuple[Need, ...]]] = {"train": (), "predict": (ANSWERS,)}
    recipe_type: ClassVar[type[base.Recipe]] = Recipe
