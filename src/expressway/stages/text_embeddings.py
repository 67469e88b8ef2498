"""One vector per phrasing of each clip's text, un-normalised, as fp16.

The text comes from the manifest or from a captions store; it goes through a CLIP's own text tower
or through any transformers text encoder. A clip without text is no failure: its row is ``ok`` and
holds zero phrasings.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from expressway.core.columns import frame_array, frame_list
from expressway.core.foreign_text import short
from expressway.core.stage import Outcome, Row, RowFunction, Runtime, Stage, StageConfig
from expressway.language import encoders
from expressway.language.encoders import TextEncoder
from expressway.networks import backbones
from expressway.networks.precision import Chunks, as_half, local_folder, precision_for

log = logging.getLogger(__name__)

TEXTS_PER_BATCH = 64


class TextEmbeddingsConfig(StageConfig):
    """Which texts go through which encoder."""

    source: Literal[
        "manifest.caption", "manifest.caption_zh", "captions.raw", "captions.refined"
    ] = Field(
        "manifest.caption",
        description="manifest.caption (EmoCLIP), its Chinese counterpart, or a column of captions",
    )
    captions: str = Field("default", description="variant of captions to read, when read")
    encoder: Literal["clip", "transformers"] = Field(
        "clip", description="clip: the backbone's text tower; transformers: T5, sentence encoders"
    )
    backbone: str | None = Field(
        None, description="encoder clip: ViT-B-32/openai (EmoCLIP), hf-hub:ID or local-dir:FOLDER"
    )
    model: str | None = Field(
        None, description="encoder transformers: folder or hub id, e.g. google/flan-t5-xxl (4096)"
    )
    pooling: Literal["mean", "first", "pooled"] = Field(
        "mean", description="encoder transformers: mean over real tokens (Exp-CLIP), first, pooled"
    )
    max_tokens: int = Field(
        512, ge=1, description="encoder transformers: longer texts are cut (clip: always 77)"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 on a GPU, fp32 on a CPU"
    )
    batch_size: int = Field(64, ge=1, description="clips per call")

    @model_validator(mode="after")
    def _named(self) -> TextEmbeddingsConfig:
        wanted = "backbone" if self.encoder == "clip" else "model"
        other = "model" if self.encoder == "clip" else "backbone"
        if not getattr(self, wanted):
            raise ValueError(f"encoder {self.encoder} needs the key {wanted}")
        if getattr(self, other):
            raise ValueError(f"encoder {self.encoder} does not read the key {other}; remove it")
        return self

    def upstream(self) -> dict[str, str]:
        """Return the captions variant when the texts are captions."""
        return {} if self.source.startswith("manifest.") else {"captions": self.captions}

    def manifest_columns(self) -> tuple[str, ...]:
        """Return the caption column when the texts are the manifest's."""
        where, _, column = self.source.partition(".")
        return ("id", column) if where == "manifest" else ("id",)

    def weights(self) -> tuple[str, ...]:
        """Return the files of a local encoder; a tag or hub id names its weights by itself."""
        if self.backbone:
            return backbones.local_files(self.backbone)
        return local_folder(self.model or "")


def text_width(config: TextEmbeddingsConfig) -> int:
    """Return the dimension of the vectors."""
    if config.backbone:
        return backbones.embedding_width(config.backbone)
    return encoders.text_width(config.model or "")


def schema(config: TextEmbeddingsConfig) -> pa.Schema:
    """Columns: ``texts``; per text ``truncated`` and fp16 ``embeddings`` ``(texts, D)``."""
    return pa.schema(
        [
            pa.field("texts", pa.list_(pa.string())),
            frame_list("truncated", "bool"),
            frame_array("embeddings", "float16", text_width(config)),
        ]
    )


def open_stage(config: TextEmbeddingsConfig, runtime: Runtime) -> RowFunction:
    """Load the encoder once and return the batched row function.

    Raises:
        ConfigError: the encoder is unknown or cannot pool as asked.
        SystemicError: weights or GPU are missing.
    """
    import torch

    torch.set_num_threads(max(1, runtime.threads))
    memory = Memory(text_encoder(config, runtime.device))

    def compute(rows: list[Row]) -> list[Outcome]:
        texts = [phrasings(config, row) for row in rows]
        memory.learn(text for group in texts for text in group)
        return [memory.row(group) for group in texts]

    return compute


def text_encoder(config: TextEmbeddingsConfig, device: str) -> TextEncoder:
    """Load the text tower or language model that a configuration names."""
    precision = precision_for(config.precision, device)
    if config.backbone:
        return backbones.load(config.backbone, device, precision)
    model = config.model or ""
    return encoders.load(model, device, precision, config.pooling, config.max_tokens)


def phrasings(config: TextEmbeddingsConfig, row: Row) -> list[str]:
    """Return a clip's texts in order, without empty ones."""
    where, _, column = config.source.partition(".")
    found: Any = row.clip.column(column) if where == "manifest" else row.inputs["captions"][column]
    texts = [found] if isinstance(found, str) else list(found or ())
    return [text.strip() for text in texts if text and text.strip()]


@dataclass
class Memory:
    """Encodes each distinct text of a job once."""

    encoder: TextEncoder
    chunks: Chunks = field(default_factory=lambda: Chunks(TEXTS_PER_BATCH, "texts"))
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    cut: dict[str, bool] = field(default_factory=dict)

    def learn(self, texts: Iterable[str]) -> None:
        """Encode the texts that are new; those of like length together, to pad little."""
        new = sorted({text for text in texts if text not in self.vectors}, key=_by_length)
        if not new:
            return
        parts = self.chunks.run(lambda part: self.encoder.encode_texts(part).cpu().numpy(), new)
        values = as_half(np.concatenate(parts), self.encoder.name)
        self.vectors.update(zip(new, values, strict=True))
        self._note_cut(new)

    def _note_cut(self, new: Sequence[str]) -> None:
        flags = self.encoder.truncated(new)
        self.cut.update(zip(new, flags, strict=True))
        if any(flags):
            log.warning(
                "%s: %d of %d texts are longer than the encoder reads and were cut",
                self.encoder.name,
                sum(flags),
                len(new),
            )

    def row(self, texts: Sequence[str]) -> Outcome:
        """Return the columns of one clip."""
        empty = np.empty((0, self.encoder.dim), np.float16)
        return {
            "texts": list(texts),
            "truncated": np.array([self.cut[text] for text in texts], dtype=bool),
            "embeddings": np.stack([self.vectors[t] for t in texts]) if texts else empty,
        }


def _by_length(text: str) -> tuple[int, str]:
    return len(text), text


SOURCES = {
    "manifest.caption": "The data set's captions",
    "captions.raw": "Generated captions",
    "captions.refined": "Refined captions",
}


def sentence(config: Mapping[str, Any]) -> str:
    """Return what the stage did, for a paper's methods section; ``config`` as in the footer."""
    source = SOURCES.get(str(config.get("source")), "Texts")
    return f"{source} were embedded by {encoder_words(config)}."


def encoder_words(config: Mapping[str, Any]) -> str:
    """Return the encoder of texts."""
    if config.get("encoder") == "transformers":
        return f"the text encoder {short(config.get('model'))}"
    return f"the text tower of {short(config.get('backbone'))}"


STAGE = Stage(
    name="text_embeddings",
    summary="Encode every caption with a frozen text tower.",
    config=TextEmbeddingsConfig,
    schema=schema,
    open=open_stage,
    parallel="batches",
    # not images, but read like them: one clip at random, and fp16 hardly compresses
    images=True,
    packages=("open_clip_torch", "torch", "transformers"),
    minutes=60,
    order=80,
    sentence=sentence,
)
