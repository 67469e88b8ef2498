"""Configuration that the stages with a frozen CLIP share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from expressway.core.stage import StageConfig
from expressway.networks import backbones


class BackboneConfig(StageConfig):
    """Which backbone looks at which crops."""

    faces: str = Field("default", description="variant of faces to read")
    backbone: str = Field(
        "local-dir:data/demo/backbone",
        description="ViT-B-32/openai (EmoCLIP, Exp-CLIP, HESP), hf-hub:ID or local-dir:FOLDER",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 on a GPU, fp32 on a CPU"
    )
    batch_size: int = Field(8, ge=1, description="clips per call")

    def upstream(self) -> dict[str, str]:
        """Return the faces variant."""
        return {"faces": self.faces}

    def weights(self) -> tuple[str, ...]:
        """Return the files of a local backbone; a tag or hub id names its weights by itself."""
        return backbones.local_files(self.backbone)
