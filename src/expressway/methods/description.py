"""Recipes and descriptions of methods: all that is known without torch."""

import bisect
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from expressway.core.config import StrictModel
from expressway.core.errors import ConfigError
from expressway.core.specs import Need

Phase = Literal["train", "predict"]
PROTOCOLS = ("zero_shot", "supervised", "leave_one_out", "open_set", "compound", "regression")
# why methods that never see a label refuse leave_one_out
NO_TRAINING_CLASSES = (
    "no class is ever seen in training, so every class is left out already: "
    "the recall of the class under zero_shot is that number"
)
# why a loss of CLIP's kind is not the mean over the micro batches of a step
CONTRASTIVE = (
    "its loss compares every clip with all others of the step, and micro batches would leave most "
    "of these comparisons out"
)

# why a loss over what is known is not the mean over the micro batches of a step
MEAN_OVER_LABELLED = "its loss is an average over the clips of the step that have a number"


class Recipe(StrictModel):
    """How a method is trained; every method narrows the defaults to its paper's values."""

    epochs: int = Field(30, ge=0, description="passes over the training part")
    batch_size: int | None = Field(64, ge=1, description="clips per step; null: all at once")
    optimiser: Literal["sgd", "adamw", "lbfgs"] = Field("sgd", description="update rule")
    learning_rate: float = Field(1e-3, gt=0, description="step size before the schedule")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.0, ge=0, description="L2 pull on all trained tensors")
    schedule: Literal["constant", "milestones", "cosine"] = Field(
        "constant", description="how the step size changes"
    )
    milestones: tuple[int, ...] = Field((), description="epochs at which it is cut")
    gamma: float = Field(0.1, gt=0, description="factor at each milestone")
    warmup_epochs: float = Field(0.0, ge=0, description="linear rise from 0 over these epochs")
    gradient_clip: float | None = Field(None, gt=0, description="largest gradient norm")
    accumulate: int = Field(
        1,
        ge=1,
        description="micro batches that the clips of a step are computed in, to save memory",
    )
    selection: Literal["last", "validation"] = Field(
        "last", description="keep the last epoch, or the best on validation clips; never on test"
    )
    validation_fraction: float = Field(
        0.1,
        gt=0,
        le=0.5,
        description="of the training part, cut off by subject where the split has no validation",
    )
    resample: bool = Field(False, description="draw clips so that classes are equally frequent")
    published: bool = Field(
        False, description="reproduce the release where it deviates from the corrected behaviour"
    )

    @model_validator(mode="after")
    def _milestones_rise(self) -> Self:
        if list(self.milestones) != sorted(self.milestones):
            raise ValueError(f"milestones must rise: {self.milestones}")
        return self

    def rate(self, epoch: float) -> float:
        """Return the factor of the step size at a moment, in epochs from the start."""
        if epoch < self.warmup_epochs:
            return epoch / self.warmup_epochs
        if self.schedule == "milestones":
            return self.gamma ** bisect.bisect_right(self.milestones, epoch)
        if self.schedule == "cosine":
            span = max(1e-9, self.epochs - self.warmup_epochs)
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (epoch - self.warmup_epochs) / span)))
        return 1.0


class Description:
    """What a method is: its names, the protocols that it can run, the stores that it reads.

    Attributes:
        phrase: what it is, within a sentence; ``citation``: the work to cite, if there is one.
        trained: False for methods that use frozen weights only.
        protocols: protocols it can run.
        refusals: protocol -> why it cannot run it.
        loss_over_batch: protocol -> why the loss of a batch is not the mean over its clips. Such a
            loss calls ``blocks.gather`` on what it compares, and refuses micro batches.
        inherits: prefixes of the tensors that ``start_from`` may take over; all by default.
        class_texts: whether classes are given by texts, so that any classes can be asked for.
        needs: which stores each phase reads.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[str]
    phrase: ClassVar[str]
    citation: ClassVar[str] = ""
    trained: ClassVar[bool] = True
    protocols: ClassVar[tuple[str, ...]]
    refusals: ClassVar[Mapping[str, str]] = {}
    loss_over_batch: ClassVar[Mapping[str, str]] = {}
    inherits: ClassVar[tuple[str, ...]] = ("",)
    class_texts: ClassVar[bool] = True
    needs: ClassVar[Mapping[Phase, tuple[Need, ...]]]
    recipe_type: ClassVar[type[Recipe]]

    @classmethod
    def check_protocol(cls, protocol: str) -> None:
        """Raise ConfigError, with the reason, when the method cannot run a protocol."""
        if protocol not in cls.protocols:
            reason = cls.refusals.get(protocol, f"{cls.name} has no {protocol} part yet")
            raise ConfigError(
                f"method {cls.name} cannot run protocol {protocol}: {reason}; "
                f"it can run: {', '.join(cls.protocols)}"
            )

    @classmethod
    def trains_on_class_texts(cls, protocol: str) -> bool:
        """Return whether the loss compares clips with the texts of their classes."""
        return cls.class_texts and protocol != "zero_shot"

    @classmethod
    def needs_backbone(cls, recipe: Any) -> bool:
        """Return whether clips go through the backbone's towers when it predicts."""
        return False

    @classmethod
    def planned(cls, recipe: Any, protocol: str, phase: Phase) -> tuple[Need, ...]:
        """Return the stores that are made for a model in a phase; what it reads, as a rule."""
        return cls.stores(recipe, protocol, phase)

    @classmethod
    def stores(cls, recipe: Any, protocol: str, phase: Phase) -> tuple[Need, ...]:
        """Return the stores that this recipe reads under a protocol in a phase."""
        return cls.needs[phase]
