"""Parsing maps: which of eleven parts of the face every pixel of a crop belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from expressway.core.columns import blobs, frame_list
from expressway.core.foreign_text import short, visible
from expressway.core.stage import Outcome, Row, RowFunction, Runtime, Stage, StageConfig
from expressway.faces.parsing import Parser, Portrait, encode_mask
from expressway.networks.precision import local_folder, precision_for

# Which keys decide a parser's masks, beside the stores that it reads.
KEYS: Mapping[str, frozenset[str]] = {
    "regions": frozenset({"landmarks"}),
    "transformers": frozenset({"model", "classes", "precision"}),
    "import": frozenset({"folder", "revision"}),
}
REQUIRED: Mapping[str, str] = {"transformers": "model", "import": "folder"}


class ParsingConfig(StageConfig):
    """Which parser looks at which crops."""

    parser: Literal["regions", "transformers", "import"] = Field(
        "regions",
        description="regions: drawn from landmarks, no weights, no hair; transformers: any "
        "segmentation model, for real data; import: label maps that FaceXFormer saved (FineCLIPER)",
    )
    faces: str = Field("default", description="variant of faces to read")
    landmarks: str = Field("default", description="regions: variant of landmarks to read")
    model: str | None = Field(
        None, description="transformers: folder or hub id, e.g. jonathandinu/face-parsing"
    )
    classes: dict[str, str] = Field(
        {}, description="transformers: label of the model -> class, beyond CelebAMask's labels"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="transformers: auto: bf16 on a GPU, fp32 on a CPU"
    )
    folder: str | None = Field(
        None, description="import: label maps as FOLDER/CLIP_ID/SOURCE_INDEX.png"
    )
    revision: str = Field(
        "", description="import: any text; change it when the files in the folder have changed"
    )
    batch_size: int = Field(8, ge=1, description="clips per call")

    @model_validator(mode="after")
    def _belonging(self) -> ParsingConfig:
        wanted = REQUIRED.get(self.parser)
        if wanted and not getattr(self, wanted):
            raise ValueError(f"parser {self.parser} needs the key {wanted}")
        foreign = set().union(*KEYS.values()) - KEYS[self.parser]
        extra = sorted(name for name in foreign & self.model_fields_set if getattr(self, name))
        if extra:
            raise ValueError(f"parser {self.parser} does not read {', '.join(extra)}; remove it")
        return self

    def identity(self) -> dict[str, Any]:
        """Return the values that decide what is computed; other parsers' keys do not."""
        unused = set().union(*KEYS.values()) - KEYS[self.parser]
        return {key: value for key, value in super().identity().items() if key not in unused}

    def upstream(self) -> dict[str, str]:
        """Return the faces variant, and for regions the landmarks variant."""
        stores = {"faces": self.faces}
        return {**stores, "landmarks": self.landmarks} if self.parser == "regions" else stores

    def weights(self) -> tuple[str, ...]:
        """Return the folder of a local model; a hub id names its weights by itself."""
        return local_folder(self.model) if self.model else ()


def schema(config: ParsingConfig) -> pa.Schema:
    """Columns: frame facts; ``masks``, a PNG with one 8-bit channel per frame, as large as its
    crop; ``missing_classes``, names of the classes that the parser never gives."""
    return pa.schema(
        [
            frame_list("source_index", "int32"),
            frame_list("time", "float64"),
            frame_list("valid", "bool"),
            pa.field("missing_classes", pa.list_(pa.string())),
            blobs("masks"),
        ]
    )


def open_stage(config: ParsingConfig, runtime: Runtime) -> RowFunction:
    """Load the parser and return the batched row function.

    Raises:
        ConfigError: the parser's settings do not fit its model or folder.
        SystemicError: weights or GPU are missing.
    """
    parser = open_parser(config, runtime)

    def compute(rows: list[Row]) -> list[Outcome]:
        portraits = [_portrait(row) for row in rows]
        masks = (encode_mask(mask) for mask in parser.masks(portraits))
        return [
            {
                **_facts(row),
                "missing_classes": list(parser.missing_classes),
                "masks": [next(masks) for _ in range(len(portrait))],
            }
            for row, portrait in zip(rows, portraits, strict=True)
        ]

    return compute


def open_parser(config: ParsingConfig, runtime: Runtime) -> Parser:
    """Return the parser that a configuration names."""
    if config.parser == "regions":
        from expressway.faces.parsers.regions import RegionsParser

        return RegionsParser()
    if config.parser == "import":
        from expressway.faces.parsers.saved import SavedParser

        return SavedParser(config.folder or "")
    import torch

    from expressway.faces.parsers.transformers import TransformersParser

    torch.set_num_threads(max(1, runtime.threads))
    precision = precision_for(config.precision, runtime.device)
    return TransformersParser(config.model or "", config.classes, runtime.device, precision)


def _portrait(row: Row) -> Portrait:
    faces, landmarks = row.inputs["faces"], row.inputs.get("landmarks", {})
    return Portrait(
        row.clip.id,
        faces["crops"],
        np.asarray(faces["source_index"]),
        landmarks.get("points"),
        landmarks.get("mesh"),
    )


def _facts(row: Row) -> Outcome:
    """Return place, time and validity of the frames; with landmarks these decide on validity."""
    known = row.inputs.get("landmarks", row.inputs["faces"])
    return {name: known[name] for name in ("source_index", "time", "valid")}


def sentence(config: Mapping[str, Any]) -> str:
    """Return what the stage did, for a paper's methods section; ``config`` as in the footer."""
    way = {
        "regions": "drawing regions around the landmarks",
        "transformers": f"the segmentation model {short(config.get('model'))}",
        "import": "a parser of its own, whose output was imported",
    }.get(str(config.get("parser")), visible(config.get("parser"), 60))
    return f"Faces were parsed into eleven classes by {way}."


STAGE = Stage(
    name="parsing",
    summary="Say for every pixel of every aligned face which part it is.",
    config=ParsingConfig,
    schema=schema,
    open=open_stage,
    parallel="batches",
    images=True,
    packages=("opencv-python", "pillow", "torch", "transformers"),
    order=40,
    sentence=sentence,
)
