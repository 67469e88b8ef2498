"""Teacher embeddings: one fp16 vector per image or chosen frame from Exp-CLIP's teacher.

``blip2`` looks at face crops together with an instruction; ``caption_text`` puts the clip's
caption through a text encoder instead, which needs no vision-language model. A clip without
caption is no failure: its row is ``ok`` and holds no vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from expressway.core.columns import frame_array, frame_list
from expressway.core.foreign_text import short
from expressway.core.stage import Outcome, Row, RowFunction, Runtime, Stage
from expressway.faces.pictures import decode
from expressway.language import teachers
from expressway.media.sampling import middles
from expressway.networks.precision import as_half, precision_for
from expressway.stages.text_embeddings import (
    SOURCES,
    Memory,
    TextEmbeddingsConfig,
    encoder_words,
    phrasings,
    text_encoder,
    text_width,
)

# Says that a vector stands for the clip as a whole.
WHOLE_CLIP = -1

# Distinct captions that are remembered: 67 MB at 4096 dimensions.
REMEMBERED = 8192

COMMON = frozenset({"teacher", "model", "precision"})
IMAGE_KEYS = frozenset({"faces", "frames", "instruction", "published", "teacher_dropout", "seed"})


class TeacherEmbeddingsConfig(TextEmbeddingsConfig):
    """Which teacher looks at what; keys of the other teacher must be left out."""

    teacher: Literal["blip2", "caption_text"] = Field(
        "caption_text",
        description="blip2: BLIP-2 or InstructBLIP with T5 on face crops (Exp-CLIP); "
        "caption_text: the caption through a text encoder (the keys of text_embeddings)",
    )
    model: str | None = Field(
        None,
        description="blip2: folder or hub id, Salesforce/blip2-flan-t5-xxl (Exp-CLIP, 4096); "
        "caption_text with encoder transformers: e.g. google/flan-t5-xxl",
    )
    faces: str = Field("default", description="blip2: variant of faces to read")
    frames: int = Field(
        1, ge=1, description="blip2: frames of a clip, evenly spaced; an image has one"
    )
    instruction: str = Field(
        teachers.INSTRUCTION, min_length=1, description="blip2: text behind the image (Exp-CLIP's)"
    )
    published: bool = Field(
        False,
        description="blip2: as Exp-CLIP was released: pixels without mean and std, dropout on",
    )
    teacher_dropout: bool | None = Field(
        None, description="blip2: dropout of Q-Former and T5; none: as published says"
    )
    seed: int = Field(0, description="blip2: seed of the dropout")
    batch_size: int = Field(32, ge=1, description="clips per call")

    @model_validator(mode="after")
    def _named(self) -> TeacherEmbeddingsConfig:
        if self.teacher == "blip2":
            if not self.model:
                raise ValueError("teacher blip2 needs the key model")
            foreign = set(TextEmbeddingsConfig.model_fields) - {"batch_size"} - COMMON
        else:
            TextEmbeddingsConfig.model_validate(self._text_keys())
            foreign = set(IMAGE_KEYS)
        extra = sorted(foreign & self.model_fields_set)
        if extra:
            raise ValueError(f"teacher {self.teacher} does not read {', '.join(extra)}; remove it")
        return self

    def _text_keys(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in TextEmbeddingsConfig.model_fields}

    def identity(self) -> dict[str, Any]:
        """Return the values that decide what is computed; the other teacher's keys do not."""
        found = super().identity()
        if self.teacher == "caption_text":
            return {key: value for key, value in found.items() if key not in IMAGE_KEYS}
        return {key: value for key, value in found.items() if key in COMMON | IMAGE_KEYS}

    def upstream(self) -> dict[str, str]:
        """Return the faces variant, or for captions that are read from a store theirs."""
        return {"faces": self.faces} if self.teacher == "blip2" else super().upstream()

    def manifest_columns(self) -> tuple[str, ...]:
        """Return the caption column when the captions are the manifest's."""
        return ("id",) if self.teacher == "blip2" else super().manifest_columns()


def schema(config: TeacherEmbeddingsConfig) -> pa.Schema:
    """Columns: ``embeddings`` fp16 ``(vectors, D)``; ``source_index`` of the frame that each
    belongs to, -1 for a vector of the whole clip."""
    return pa.schema(
        [
            frame_list("source_index", "int32"),
            frame_array("embeddings", "float16", text_width(config)),
        ]
    )


def open_stage(config: TeacherEmbeddingsConfig, runtime: Runtime) -> RowFunction:
    """Load the teacher once and return the batched row function.

    Raises:
        ConfigError: the model is of another kind than the teacher.
        SystemicError: weights or GPU are missing.
    """
    import torch

    torch.set_num_threads(max(1, runtime.threads))
    opener = _open_images if config.teacher == "blip2" else _open_captions
    return opener(config, runtime)


def _open_images(config: TeacherEmbeddingsConfig, runtime: Runtime) -> RowFunction:
    dropout = config.published if config.teacher_dropout is None else config.teacher_dropout
    teacher = teachers.load(
        config.model or "",
        runtime.device,
        precision_for(config.precision, runtime.device),
        config.instruction,
        config.published,
        dropout,
        config.seed,
    )
    pool = ThreadPoolExecutor(max(1, runtime.threads), thread_name_prefix="decode")

    def compute(rows: list[Row]) -> list[Outcome]:
        frames = [chosen(row.inputs["faces"]["valid"], config.frames) for row in rows]
        indices = [
            np.asarray(row.inputs["faces"]["source_index"], np.int32)[places]
            for row, places in zip(rows, frames, strict=True)
        ]
        crops = [
            row.inputs["faces"]["crops"][place]
            for row, places in zip(rows, frames, strict=True)
            for place in places
        ]
        keys = [
            f"{row.clip.id}/{index}"
            for row, group in zip(rows, indices, strict=True)
            for index in group
        ]
        found = teacher.encode_images(list(pool.map(decode, crops)), keys)
        values = as_half(found.numpy(), f"teacher {teacher.name}")
        blocks = np.split(values, np.cumsum([len(group) for group in indices])[:-1])
        return [
            {"source_index": group, "embeddings": block}
            for group, block in zip(indices, blocks, strict=True)
        ]

    return compute


def chosen(valid: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
    """Return which frames the teacher sees: the middles of ``count`` equal parts of the valid ones.

    All of them where there are fewer; of a clip without a valid frame, of all frames.
    """
    places = np.flatnonzero(valid)
    if not len(places):
        places = np.arange(len(valid))
    parts = min(count, len(places))
    return np.asarray(places[middles(len(places), parts)], np.intp)


def _open_captions(config: TeacherEmbeddingsConfig, runtime: Runtime) -> RowFunction:
    memory = Memory(text_encoder(config, runtime.device))

    def compute(rows: list[Row]) -> list[Outcome]:
        if len(memory.vectors) > REMEMBERED:
            memory.vectors.clear()
            memory.cut.clear()
        # Further phrasings of a caption would be further targets of one and the same image.
        texts = [phrasings(config, row)[:1] for row in rows]
        memory.learn(text for group in texts for text in group)
        return [
            {
                "source_index": np.full(len(group), WHOLE_CLIP, np.int32),
                "embeddings": memory.row(group)["embeddings"],
            }
            for group in texts
        ]

    return compute


def sentence(config: Mapping[str, Any]) -> str:
    """Return what the stage did, for a paper's methods section; ``config`` as in the footer."""
    if config.get("teacher") == "blip2":
        return f"The teacher [expclip] was {short(config.get('model'))}, shown the face crops."
    source = SOURCES.get(str(config.get("source")), "texts").lower()
    return f"As a teacher [expclip], {source} went through {encoder_words(config)}."


STAGE = Stage(
    name="teacher_embeddings",
    summary="Encode what the teacher of Exp-CLIP sees or reads.",
    config=TeacherEmbeddingsConfig,
    schema=schema,
    open=open_stage,
    parallel="batches",
    # not images, but read like them: one clip at random, and fp16 hardly compresses
    images=True,
    packages=("open_clip_torch", "torch", "transformers", "opencv-python"),
    journal=True,
    minutes=720,
    order=90,
    sentence=sentence,
    cites=("expclip",),
)
