"""The keys of EmoCLIP's video encoder, and the stores that its frames come from."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from expressway.core.specs import Need
from expressway.methods import description as base
from expressway.methods.description import Description

FACES = Need("faces", ("source_index", "valid", "crops"), stream=True)


FEATURES = Need("visual_features", ("source_index", "valid", "features"))


class VideoRecipe(base.Recipe):
    """The keys of the video encoder."""

    tune: Literal["frozen", "visual", "visual_text"] = Field(
        "frozen", description="which of CLIP's towers are trained as well; paper: see section 2"
    )
    tower_rate: float = Field(
        1e-3, gt=0, description="step size of tuned towers, as a factor of the others'; paper: 1e-3"
    )
    frame_step: int = Field(2, ge=1, description="keep every k-th frame; paper: 2 on MAFW, else 4")
    frames: int = Field(32, ge=1, description="length of the window; paper: 32")
    depth: int = Field(2, ge=0, description="blocks of the temporal transformer; paper: 2")
    heads: int = Field(8, ge=1, description="attention heads; paper: 8")
    head_dim: int = Field(64, ge=1, description="width of a head; intended 64, release: mlp_dim")
    mlp_dim: int = Field(2048, ge=1, description="width of the MLP; intended 2048, release: D")
    position_rows: int = Field(1024, ge=2, description="rows of the position table; paper: 1024")
    dropout: float = Field(0.0, ge=0, lt=1, description="paper: 0")
    init_std: float = Field(
        1.0, ge=0, description="spread of summary token and positions at the start; paper: 1"
    )

    @model_validator(mode="after")
    def _positions_suffice(self) -> Self:
        if self.position_rows < self.frames + 1:
            raise ValueError(f"position_rows must be at least frames + 1 = {self.frames + 1}")
        return self


class VideoDescription(Description):
    """What methods on the video encoder share."""

    @classmethod
    def frames_of(cls, recipe: Any) -> Need:
        """Return the store that frames come from."""
        return FEATURES if recipe.tune == "frozen" else FACES
