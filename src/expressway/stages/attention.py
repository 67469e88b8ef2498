"""Attention: one square window per clip and class, from CLIP's patch similarity.

HESP puts its visual prompt there (docs/methods/hesp.md, section 2). A row holds a window for every
class and how similar the clip is to it, so that a model which knows only some of the classes is
not told about the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from expressway.core.columns import frame_array, frame_list
from expressway.core.errors import ConfigError
from expressway.core.foreign_text import short
from expressway.core.stage import Outcome, Row, RowFunction, Runtime, Stage
from expressway.data.patch_windows import best_window
from expressway.data.sampling import nearest_frames, segment_frames
from expressway.faces.pictures import decode
from expressway.language.emotions import EIGHT
from expressway.language.prompts import class_texts
from expressway.networks import backbones
from expressway.networks.precision import Chunks, precision_for
from expressway.stages.backbone_config import BackboneConfig

if TYPE_CHECKING:
    from torch import Tensor

FRAMES_PER_BATCH = 64


class AttentionConfig(BackboneConfig):
    """Which backbone compares which patches with which class texts."""

    rule: Literal["clip_similarity", "centre"] = Field(
        "clip_similarity",
        description="clip_similarity: the window whose patches are most like the class's text, "
        "for vision transformers; centre: the middle of the face for every clip (ablation)",
    )
    labels: tuple[str, ...] = Field(
        EIGHT, min_length=1, description="classes that get a window: all that models may know"
    )
    prompts: str = Field("names", description="class prompt set that patches are compared with")
    prompts_file: str = Field("config/prompts/classes.yaml", description="file of prompt sets")
    frames: int = Field(8, ge=1, description="frames of a clip whose maps are averaged; HESP: 8")

    def identity(self) -> dict[str, Any]:
        """Return what decides the windows: the texts themselves, not the file that holds them."""
        found = super().identity()
        if self.rule == "centre":
            return {key: found[key] for key in ("faces", "backbone", "rule", "labels")}
        kept = {key: value for key, value in found.items() if not key.startswith("prompts")}
        return kept | {"texts": self.texts()}

    def texts(self) -> dict[str, tuple[str, ...]]:
        """Return label -> its texts.

        Raises:
            ConfigError: there is no such prompt set, or a label has no text in it.
        """
        return class_texts(Path(self.prompts_file), self.prompts, self.labels)


def schema(config: AttentionConfig) -> pa.Schema:
    """Columns: ``labels`` in order; ``scores`` cosine of the clip and each label's texts.

    ``windows`` (labels, 2): row and column of the middle, in pixels of a square image of side
    ``image_size``; the window's side is a quarter of that.
    """
    return pa.schema(
        [
            pa.field("labels", pa.list_(pa.string())),
            frame_list("scores", "float32"),
            frame_array("windows", "int16", 2),
            pa.field("image_size", pa.int32()),
        ]
    )


def open_stage(config: AttentionConfig, runtime: Runtime) -> RowFunction:
    """Load the backbone once and return the batched row function.

    Raises:
        ConfigError: the backbone has no patch tokens in the space of its texts.
        SystemicError: weights or GPU are missing.
    """
    import torch

    torch.set_num_threads(max(1, runtime.threads))
    precision = precision_for(config.precision, runtime.device)
    backbone = backbones.load(config.backbone, runtime.device, precision)
    if config.rule == "centre":
        middle = np.full((len(config.labels), 2), backbone.image_size // 2)
        flat = np.zeros(len(config.labels))
        return lambda rows: [_row(config, backbone, flat, middle) for _ in rows]
    return Comparison(config, backbone).compute


class Comparison:
    """Compares the patches of several clips with the texts of all classes."""

    def __init__(self, config: AttentionConfig, backbone: backbones.Backbone) -> None:
        self.config, self.backbone = config, backbone
        self.texts = _class_vectors(backbone, list(config.texts().values()))
        self.chunks = Chunks(FRAMES_PER_BATCH, "frames")

    def compute(self, rows: list[Row]) -> list[Outcome]:
        """Return a window per class for each clip.

        Raises:
            RowFailure: ``unreadable``: a crop cannot be decoded.
        """
        return [self._clip(self._pixels(row.inputs["faces"])) for row in rows]

    def _pixels(self, faces: Any) -> Tensor:
        """Return the frames that are looked at, uint8 ``(frames, 3, h, w)``."""
        import torch

        source = np.asarray(faces["source_index"], np.int64)
        wanted = segment_frames(int(source[-1] - source[0]) + 1, self.config.frames)
        chosen = nearest_frames(source, faces["valid"], wanted)
        images = [self.backbone.preprocess.resize(decode(faces["crops"][i])) for i in chosen]
        return torch.stack(images)

    def _clip(self, pixels: Tensor) -> Outcome:
        import torch
        from torch.nn import functional

        images = self.backbone.preprocess.normalise(pixels.to(self.backbone.device))
        parts = self.chunks.run(self._similarity, images)
        maps = torch.cat([part[0] for part in parts]).mean(0)
        clip = functional.normalize(torch.cat([part[1] for part in parts]).mean(0), dim=-1)
        windows = [
            best_window(_square(column), self.backbone.image_size)
            for column in maps.T.cpu().numpy()
        ]
        scores = (self.texts @ clip).cpu().numpy()
        return _row(self.config, self.backbone, scores, np.stack(windows))

    def _similarity(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosines (frames, patches, classes), and features (frames, D)."""
        from torch.nn import functional

        tokens = self.backbone.patch_tokens(images)
        patches = functional.normalize(_projected(self.backbone, tokens), dim=-1)
        return patches @ self.texts.T, self.backbone.encode_images(images)


def _class_vectors(backbone: backbones.Backbone, texts: Sequence[tuple[str, ...]]) -> Tensor:
    """Return (classes, D): the normalised mean of a class's unit text vectors."""
    import torch
    from torch.nn import functional

    means = [
        functional.normalize(backbone.encode_texts(phrasings), dim=-1).mean(0)
        for phrasings in texts
    ]
    return functional.normalize(torch.stack(means), dim=-1)


def _projected(backbone: backbones.Backbone, tokens: Tensor) -> Tensor:
    """Map patch tokens into the space of the texts as the tower maps its class token.

    Raises:
        ConfigError: the tower's projection is not one of single tokens.
    """
    import torch

    visual = backbone.model.visual
    projection = getattr(visual, "proj", None)
    if projection is None:
        projection = getattr(visual, "head", None)
    with torch.no_grad():
        if isinstance(projection, torch.Tensor):
            return tokens @ projection
        mapped = projection(tokens) if projection is not None else tokens
    if mapped.shape[-1] != backbone.dim:
        raise ConfigError(
            f"the patch tokens of {backbone.name} have no projection to its texts; choose a CLIP "
            "vision transformer such as ViT-B-16/openai, or rule: centre"
        )
    return mapped  # type: ignore[no-any-return]


def _square(values: np.ndarray) -> np.ndarray:
    """Return the values of all patches as a square map."""
    width = math.isqrt(len(values))
    if width * width != len(values):
        raise ConfigError(f"{len(values)} patches are no square map; choose a square backbone")
    return values.reshape(width, width)


def _row(
    config: AttentionConfig, backbone: backbones.Backbone, scores: np.ndarray, windows: np.ndarray
) -> Outcome:
    return {
        "labels": list(config.labels),
        "scores": scores.astype(np.float32),
        "windows": windows.astype(np.int16),
        "image_size": backbone.image_size,
    }


def sentence(config: Mapping[str, Any]) -> str:
    """Return what the stage did, for a paper's methods section; ``config`` as in the footer."""
    if config.get("rule") == "centre":
        return "The window of visual prompts was the middle of the face [hesp]."
    return (
        f"For each clip and class we found the window whose patches, averaged over "
        f"{config.get('frames')} frames, are most similar to the class's text under "
        f"{short(config.get('backbone'))} [hesp]."
    )


STAGE = Stage(
    name="attention",
    summary="Find where on every face CLIP sees the expression.",
    config=AttentionConfig,
    schema=schema,
    open=open_stage,
    parallel="batches",
    packages=("open_clip_torch", "torch", "opencv-python"),
    order=70,
    sentence=sentence,
    cites=("hesp",),
)
