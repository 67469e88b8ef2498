"""A small world on disk in the stores' real formats: clips, shards, evaluations, benchmarks."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from expressway.core.columns import blobs, frame_array, frame_list, to_arrow
from expressway.core.files import write_json
from expressway.core.manifest import Clip
from expressway.core.store import ShardWriter, write_table
from expressway.faces.parsing import encode_mask
from expressway.reporting import ReportDataset, ReportSpec

LABELS = ["happiness", "sadness", "neutral", "anger"]
FRAMES = 9
FRAMES_SCHEMA = pa.schema(
    [
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("fps", pa.float64()),
        pa.field("duration", pa.float64()),
        pa.field("declared_frames", pa.int32()),
        pa.field("decoded_frames", pa.int32()),
        frame_list("source_index", "int32"),
        frame_list("time", "float64"),
        blobs("images"),
    ]
)
FACES_SCHEMA = pa.schema(
    [
        frame_list("source_index", "int32"),
        frame_list("time", "float64"),
        frame_list("valid", "bool"),
        frame_array("box", "float32", 4),
        frame_array("points", "float32", 5, 2),
        pa.field("tracks", pa.int32()),
        blobs("crops"),
    ]
)
LANDMARKS_SCHEMA = pa.schema(
    [
        frame_list("source_index", "int32"),
        frame_list("time", "float64"),
        frame_list("valid", "bool"),
        frame_array("points", "float32", 68, 2),
    ]
)
COMPARISON = {
    "a": "emoclip/descriptions",
    "b": "clip/descriptions",
    "metric": "unweighted_average_recall",
    "value_a": 0.5,
    "value_b": 0.25,
    "difference": 0.25,
    "clips": 15,
    "splits": {"fold1": 0.2, "fold2": 0.3},
    "interval_clips": [0.1, 0.4],
    "interval_subjects": [-0.05, 0.5],
}
LOST = {"status": "no_face", "error_type": "RowFailure", "error_message": "no face in 9 frames"}
SKIPPED = {"status": "skipped", "error_type": "Upstream", "error_message": "faces: no_face"}


def picture(size: int, seed: int) -> bytes:
    """A JPEG of a colour ramp, another one per seed."""
    ramp = np.linspace(0, 255, size, dtype=np.uint8)
    across, down = np.tile(ramp, (size, 1)), np.tile(ramp[:, None], size)
    pixels = np.stack([across, down, np.full((size, size), seed * 37 % 256)], -1)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def clip(index: int, **changes: Any) -> Clip:
    values: dict[str, Any] = {
        "id": f"clip-{index:03d}",
        "path": f"clips/clip-{index:03d}.mp4",
        "video": f"recording-{index // 4}",
        "subject": f"person-{index // 4}",
        "captions": (f"the lips of person {index // 4} part",),
        "labels": {"emotion": LABELS[index % len(LABELS)]},
    }
    return Clip(**{**values, **changes})


def frames_row(index: int) -> dict[str, Any]:
    times = np.arange(FRAMES) / 25
    return {
        "width": 96,
        "height": 96,
        "fps": 25.0,
        "duration": FRAMES / 25,
        "declared_frames": FRAMES,
        "decoded_frames": FRAMES,
        "source_index": np.arange(FRAMES, dtype=np.int32),
        "time": times,
        "images": [picture(96, index + i) for i in range(FRAMES)],
    }


def faces_row(index: int) -> dict[str, Any]:
    return {
        "source_index": np.arange(FRAMES, dtype=np.int32),
        "time": np.arange(FRAMES) / 25,
        "valid": np.array([True] * (FRAMES - 1) + [False]),
        "box": np.tile(np.array([20, 10, 70, 80], np.float32), (FRAMES, 1)),
        "points": np.tile(np.linspace(25, 65, 10, dtype=np.float32).reshape(5, 2), (FRAMES, 1, 1)),
        "tracks": 1,
        "crops": [picture(112, index + i) for i in range(FRAMES)],
    }


def landmarks_row(index: int) -> dict[str, Any]:
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    ring = 56 + 40 * np.stack([np.cos(angles), np.sin(angles)], -1).astype(np.float32)
    return {
        "source_index": np.arange(FRAMES, dtype=np.int32),
        "time": np.arange(FRAMES) / 25,
        "valid": np.array([True] * (FRAMES - 1) + [False]),
        "points": np.tile(ring, (FRAMES, 1, 1)),
    }


CAPTIONS_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("raw", "refined")),
        pa.field("flags", pa.list_(pa.string())),
        *(pa.field(name, pa.string()) for name in ("measurements", "model", "prompt_id")),
        pa.field("decoding", pa.string()),
    ]
)
PARSING_SCHEMA = pa.schema([frame_list("source_index", "int32"), blobs("masks")])
TRUTH_SCHEMA = pa.schema([pa.field("clip_id", pa.string()), frame_array("intensities", "f4", 2)])


def captions_row(index: int) -> dict[str, Any]:
    """A raw text that names the label; every fourth clip moves lip corners and jaw."""
    names = ("lip_corners_up", "jaw_drop") if index % 4 == 0 else ()
    apex = {"seconds": 0.08, "frame": 2}
    movements = [{"name": name, "strength": 0.75, "apex": apex} for name in names]
    strengths = {name: 0.75 * bool(names) for name in ("lip_corners_up", "jaw_drop")}
    return {
        "raw": f"A face of {LABELS[index % len(LABELS)]}: the jaw drops.",
        "refined": "The jaw drops.",
        "flags": [],
        "measurements": json.dumps({"movements": movements, "strengths": strengths}),
        "model": "tiny-captioner",
        "prompt_id": None,
        "decoding": "{}",
    }


def parsing_row(index: int) -> dict[str, Any]:
    """Label maps of nothing but skin."""
    skin = encode_mask(np.ones((112, 112), np.uint8))
    return {"source_index": np.arange(FRAMES, dtype=np.int32), "masks": [skin] * FRAMES}


ATTENTION_SCHEMA = pa.schema(
    [
        pa.field("labels", pa.list_(pa.string())),
        pa.field("scores", pa.list_(pa.float32())),
        frame_array("windows", "int16", 2),
        pa.field("image_size", pa.int32()),
    ]
)


def attention_row(index: int) -> dict[str, Any]:
    """The window of the clip's own label, which is the likest one, at (16, 40) of 64."""
    likest = index % len(LABELS)
    middles = np.full((len(LABELS), 2), 8, np.int16)
    middles[likest] = 16, 40
    scores = [0.5 if label == likest else 0.1 for label in range(len(LABELS))]
    return {"labels": LABELS, "scores": scores, "windows": middles, "image_size": 64}


STAGES: dict[str, tuple[pa.Schema, Callable[[int], dict[str, Any]]]] = {
    "frames": (FRAMES_SCHEMA, frames_row),
    "faces": (FACES_SCHEMA, faces_row),
    "landmarks": (LANDMARKS_SCHEMA, landmarks_row),
}
TOLD: dict[str, tuple[pa.Schema, Callable[[int], dict[str, Any]]]] = {
    "parsing": (PARSING_SCHEMA, parsing_row),
    "captions": (CAPTIONS_SCHEMA, captions_row),
}
LOOKED: dict[str, tuple[pa.Schema, Callable[[int], dict[str, Any]]]] = {
    "attention": (ATTENTION_SCHEMA, attention_row),
}


@dataclass
class World:
    """Writes stores, evaluations and benchmarks below a folder and remembers their paths."""

    root: Path
    clips: list[Clip]
    lost: set[str] = field(default_factory=set)
    name: str = "tiny"
    shard_size: int = 8
    stores: dict[tuple[str, str], list[Path]] = field(default_factory=dict)
    evaluations: list[Path] = field(default_factory=list)
    models: list[Path] = field(default_factory=list)
    comparisons: list[Path] = field(default_factory=list)
    benchmarks: list[tuple[str, Path]] = field(default_factory=list)
    truth: list[Path] = field(default_factory=list)
    task: str | None = None
    folds: list[dict[str, str]] = field(default_factory=list)

    def write_stores(self, **states: dict[str, dict[str, Any]]) -> None:
        """Write the three stores of faces; `states` maps a stage to clip id -> changed columns."""
        self._write(STAGES, states)

    def write_captions(self, **states: dict[str, dict[str, Any]]) -> None:
        """Write parsing and captions likewise, and four folds of persons for the leak audit."""
        self._write(TOLD, states)
        self.task = "emotion"
        self.folds = [
            {c.id: "test" if i // 4 == fold else "train" for i, c in enumerate(self.clips)}
            for fold in range(4)
        ]

    def write_attention(self) -> None:
        """Write a window per clip and class likewise."""
        self._write(LOOKED, {})

    def write_truth(self, units: tuple[str, str] = ("AU12", "AU26"), name: str = "00000") -> None:
        """Write drawn units: the first in every eighth clip, the second in every second."""
        shown = [np.tile(np.float32([i % 8 == 0, i % 2 == 0]), (5, 1)) for i in self.ordinals]
        ids = pa.array([one.id for one in self.clips])
        intensities = to_arrow(shown, TRUTH_SCHEMA.field("intensities"))
        path = self.root / f"clips/{name}.truth.parquet"
        table = pa.Table.from_arrays([ids, intensities], schema=TRUTH_SCHEMA)
        write_table(path, table, {"units": list(units)})
        self.truth.append(path)

    @property
    def ordinals(self) -> range:
        return range(len(self.clips))

    def _write(self, stages: Mapping[str, Any], states: dict[str, Any]) -> None:
        for stage in stages:
            starts = range(0, len(self.clips), self.shard_size)
            self.stores[stage, "native"] = [self._shard(stage, s, states) for s in starts]

    def _shard(self, stage: str, start: int, states: dict[str, Any]) -> Path:
        schema, make = {**STAGES, **TOLD, **LOOKED}[stage]
        folder = self.root / f"results/{self.name}/{stage}/native"
        path = folder / f"{start // self.shard_size:05d}.parquet"
        footer = {
            "stage": stage,
            "variant": "native",
            "fingerprint": f"{stage}0123456789abcdef",
            "config": {"detector": "mediapipe", "policy": "longest", "faces": "native"},
            "packages": {"pillow": "1.2.3"},
        }
        with ShardWriter(path, schema, footer, images=True) as writer:
            for index in range(start, min(start + self.shard_size, len(self.clips))):
                one = self.clips[index]
                row = {"clip_id": one.id, "status": "ok", **make(index)}
                if one.id in self.lost and stage != "frames":
                    row = {"clip_id": one.id, **(LOST if stage == "faces" else SKIPPED)}
                writer.write({**row, **states.get(stage, {}).get(one.id, {})})
        return path

    def write_evaluation(
        self,
        model: str,
        fold: str,
        clips: list[Clip],
        guess: Callable[[Clip], str | None],
        splits: list[str] | None = None,
        /,
        **facts: Any,
    ) -> Path:
        """Write predictions and metrics of one run; `guess` gives a label or None.

        The fact `scores` maps clip id -> scores, null where it is absent.
        """
        evaluation = str(facts.get("evaluation", "descriptions"))
        folder = self.root / f"results/evaluations/{model}/{fold}-seed0/{evaluation}"
        truths = [one.labels.get("emotion") for one in clips]
        guesses = [guess(one) for one in clips]
        labels = list(facts.pop("labels", LABELS))
        told = {"model": model, "evaluation": evaluation, "dataset": self.name, "labels": labels}
        scores = facts.pop("scores", {})
        given = [scores.get(one.id) for one in clips]
        _write_predictions(folder, clips, guesses, given, splits or [fold] * len(clips), told)
        metrics = facts.pop("metrics", None) or _metrics(truths, guesses, labels)
        base = {"model": model, "method": model, "split": fold, "seed": 0, "evaluation": evaluation}
        rest = {
            "protocol": "zero_shot",
            "dataset": self.name,
            "task": "emotion",
            "prompts": "descriptions",
            "labels": labels,
            "clips": len(clips),
            "missing": sum(g is None for g in guesses),
            "metrics": metrics,
            "parameters": {"trainable": 1234567, "total": 87654321},
            "selection": "last epoch",
            "notes": [],
        }
        write_json(folder / "metrics.json", {**base, **rest, **facts})
        self.evaluations.append(folder)
        return folder

    def write_benchmark(self, rule: str, *rows: tuple[str, str]) -> None:
        """Write one of Snakemake's benchmark tables per row of (seconds, max_rss)."""
        for index, (seconds, memory) in enumerate(rows):
            path = self.root / f"benchmarks/{rule}/{index}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"s\th:m:s\tmax_rss\tmean_load\n{seconds}\t0:00:01\t{memory}\t99.0\n")
            self.benchmarks.append((rule, path))

    def dataset(self) -> ReportDataset:
        stores = dict(self.stores)
        return ReportDataset(
            self.name, tuple(self.clips), stores, self.truth, self.task, self.folds
        )

    def spec(self, **changes: Any) -> ReportSpec:
        values: dict[str, Any] = {
            "title": "A tiny world",
            "demo": True,
            "thumbnails": True,
            "datasets": [self.dataset()],
            "evaluations": self.evaluations,
            "models": self.models,
            "comparisons": self.comparisons,
            "benchmarks": self.benchmarks,
            "config": {"datasets": ["tiny"], "seed": 0},
            "versions": {"expressway": "0.1.0", "python": "3.11"},
        }
        return ReportSpec(**{**values, **changes})


def _write_predictions(
    folder: Path,
    clips: list[Clip],
    guesses: list[str | None],
    scores: list[list[float] | None],
    splits: list[str],
    footer: dict[str, Any],
) -> None:
    table = pa.table(
        {
            "clip_id": [one.id for one in clips],
            "subject": pa.array([one.subject for one in clips], pa.string()),
            "split": splits,
            "label": pa.array([one.labels.get("emotion") for one in clips], pa.string()),
            "prediction": pa.array(guesses, pa.string()),
            "scores": pa.array(scores, pa.list_(pa.float32())),
            "status": ["ok" if guess else "no_face" for guess in guesses],
        }
    )
    write_table(folder / "predictions.parquet", table, footer)


def _metrics(
    truths: list[str | None], guesses: list[str | None], labels: list[str]
) -> dict[str, Any]:
    pairs = [(t, g) for t, g in zip(truths, guesses, strict=True) if t and g]
    recalls = []
    for label in labels:
        mine = [g == t for t, g in pairs if t == label]
        if mine:
            recalls.append(sum(mine) / len(mine))
    uar = sum(recalls) / len(recalls)
    war = sum(t == g for t, g in pairs) / len(pairs)
    interval = {"interval_clips": [0.1, 0.9], "interval_subjects": [0.05, 0.95]}
    return {
        "unweighted_average_recall": {"value": uar, **interval},
        "weighted_average_recall": {"value": war, **interval},
    }
