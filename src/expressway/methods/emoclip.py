"""EmoCLIP: contrastive learning of face videos and what people wrote about them.

Foteinopoulou and Patras, FG 2024, arXiv 2310.16640. CLIP's frozen image tower sees every frame
(cached), a small transformer makes one vector of a clip, CLIP's loss pulls it towards the frozen
text tower's vector of the clip's caption. Classes are then named by written descriptions.
Section numbers are those of docs/methods/emoclip.md.
"""

import hashlib
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from expressway.data.clips import Batch, Need, Rows, Sample
from expressway.data.samplers import (
    centre_window,
    every_kth,
    random_window,
    wrapping_window,
)
from expressway.methods import base
from expressway.methods.base import Context, Method, Phase
from expressway.methods.blocks.gather import gather
from expressway.methods.blocks.temporal import TemporalTransformer

FEATURES = Need("visual_features", ("source_index", "valid", "features"))
CAPTIONS = Need("text_embeddings", ("texts", "embeddings"), filled="texts")


class Recipe(base.Recipe):
    """EmoCLIP's recipe; the defaults are those of the release's MAFW training (section 5)."""

    epochs: int = Field(30, ge=0, description="paper: 30 on MAFW captions, 15 to 50 elsewhere")
    batch_size: int | None = Field(64, ge=1, description="paper: 64 per process on two GPUs")
    optimiser: Literal["sgd", "adamw"] = Field("sgd", description="paper: sgd")
    learning_rate: float = Field(1e-3, gt=0, description="paper: 1e-3")
    momentum: float = Field(0.9, ge=0, lt=1, description="paper: 0.9")
    weight_decay: float = Field(5e-4, ge=0, description="paper: 5e-4, on all trained tensors")
    schedule: Literal["constant", "milestones", "cosine"] = Field(
        "milestones", description="paper: milestones"
    )
    milestones: tuple[int, ...] = Field((15, 35, 50), description="paper: 15, 35, 50")
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
    scale_rate: float = Field(
        1.0, ge=0, description="step size of the logit scale, as a factor of the others'; paper: 1"
    )
    soft_targets: bool = Field(
        False, description="count equal texts in a batch as matches; paper: no, they repel"
    )

    @model_validator(mode="after")
    def _positions_suffice(self) -> Self:
        if self.position_rows < self.frames + 1:
            raise ValueError(f"position_rows must be at least frames + 1 = {self.frames + 1}")
        return self


class EmoCLIP(Method[Recipe]):
    """A temporal transformer on frozen CLIP features, trained on captions or class texts."""

    name = "emoclip"
    title = "EmoCLIP"
    reference = "Foteinopoulou and Patras, FG 2024, arXiv 2310.16640"
    protocols = ("zero_shot", "supervised")
    loss_over_batch: ClassVar = dict.fromkeys(protocols, base.CONTRASTIVE)
    needs: ClassVar = {"train": (FEATURES, CAPTIONS), "predict": (FEATURES,)}
    recipe_type = Recipe

    def __init__(self, recipe: Recipe, context: Context) -> None:
        super().__init__(recipe, context)
        head_dim, mlp_dim = recipe.head_dim, recipe.mlp_dim
        if recipe.published:
            # section 2, quirk A: the release hands the two widths over in the wrong order
            head_dim, mlp_dim = recipe.mlp_dim, context.dim
        self.temporal = TemporalTransformer(
            context.dim,
            recipe.depth,
            recipe.heads,
            head_dim,
            mlp_dim,
            rows=recipe.position_rows,
            dropout=recipe.dropout,
            init_std=recipe.init_std,
        )
        # section 2: a trained copy of the backbone's scale, never clamped
        self.logit_scale = nn.Parameter(torch.tensor(context.logit_scale))

    @classmethod
    def import_release(cls, file: Path, out: Path, backbone: str | None) -> Path:
        """Write the authors' checkpoint as a model folder (section 9)."""
        from expressway.methods.emoclip_release import import_release

        return import_release(file, out, backbone)

    @classmethod
    def stores(cls, recipe: Any, protocol: str, phase: Phase) -> tuple[Need, ...]:
        """Captions are read only when clips are trained with their own captions."""
        return cls.needs["predict" if protocol == "supervised" else phase]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the temporal module and the logit scale, whose step size may differ."""
        rate = self.recipe.learning_rate
        return [
            {"params": list(self.temporal.parameters()), "lr": rate},
            {"params": [self.logit_scale], "lr": rate * self.recipe.scale_rate},
        ]

    def sample(self, rows: Rows, random: np.random.Generator, training: bool) -> Sample:
        """Return ``frames`` (frames, D) and in caption training ``text`` (D,), ``text_id`` ()."""
        features = rows["visual_features"]
        chosen = self._window(features["source_index"], features["valid"], random, training)
        views = features["features"].shape[1]
        view = int(random.integers(views)) if training else 0
        frames = features["features"][chosen, view]
        sample = {"frames": torch.from_numpy(np.asarray(frames, dtype=np.float32))}
        if training and "text_embeddings" in rows:
            sample |= _caption(rows, random)
        return sample

    def _window(
        self,
        source_index: np.ndarray,
        valid: np.ndarray,
        random: np.random.Generator,
        training: bool,
    ) -> np.ndarray:
        """Section 4.2: every k-th frame of the source, then a window of fixed length."""
        kept = every_kth(source_index, valid, self.recipe.frame_step)
        count, length = len(kept), self.recipe.frames
        if self.recipe.published:
            # sections 4.2 and 4.3: wraps around the end, and is random at test time too
            return kept[wrapping_window(count, length, int(random.integers(count)))]
        if training:
            return kept[random_window(count, length, random)]
        return kept[centre_window(count, length)]

    def encode_clips(self, batch: Batch) -> Tensor:
        """Return (batch, D) unit vectors (section 2, steps 2 to 6)."""
        return functional.normalize(self.temporal(batch["frames"]), dim=-1)

    def scores(self, batch: Batch) -> Tensor:
        """Return (batch, classes): exp(s) times the cosines to the class texts (section 2)."""
        return self.logit_scale.exp() * self.encode_clips(batch) @ self.encode_texts().T

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """CLIP's symmetric loss against captions or class descriptions (section 3)."""
        texts, text_id = (gather(part) for part in self._texts(batch))
        logits = self.logit_scale.exp() * gather(self.encode_clips(batch)) @ texts.T
        groups = text_id if self.recipe.soft_targets else torch.arange(len(logits)).to(text_id)
        return {"contrastive": base.symmetric_contrastive(logits, base.matching_targets(groups))}

    def _texts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return unit text vectors (batch, D) and a number per text, equal for equal texts."""
        if self.context.protocol == "supervised":
            return self.encode_texts()[batch.labels], batch.labels
        return functional.normalize(batch["text"], dim=-1), batch["text_id"]


def _caption(rows: Rows, random: np.random.Generator) -> dict[str, Tensor]:
    """Return one of a clip's phrasings: its vector and a number that equal texts share."""
    texts, vectors = rows["text_embeddings"]["texts"], rows["text_embeddings"]["embeddings"]
    chosen = int(random.integers(len(texts)))
    digest = hashlib.blake2b(texts[chosen].encode(), digest_size=7).digest()
    return {
        "text": torch.from_numpy(np.asarray(vectors[chosen], dtype=np.float32)),
        "text_id": torch.tensor(int.from_bytes(digest, "little")),
    }
