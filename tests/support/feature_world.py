"""A small world: real stores and a real (random) CLIP.

Every class has a direction in feature space and a mouth in the drawn faces, so that methods can
learn something. Among the clips are one without a face, one without landmarks and parsing, one
without captions and one without a label.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import picture_stores
import pyarrow as pa

from expressway.core.columns import frame_array, frame_list
from expressway.core.manifest import Clip
from expressway.core.specs import PredictSpec, TrainSpec
from expressway.core.stage import Row, Runtime
from expressway.core.store import ShardWriter
from expressway.stages import attention

LABELS = ("happiness", "sadness", "anger")
TARGETS = ("valence", "arousal")
DIM = 16
CLIPS, SUBJECTS, SHARD = 48, 8, 16
NO_FACE, NO_CAPTION, NO_LABEL = "clip-05", "clip-07", "clip-11"
NO_FACE_IN_TRAINING = "clip-12"
NO_LANDMARKS = "clip-09"
NO_TARGETS, ONE_TARGET = "clip-11", "clip-10"
SMALL = {
    "emoclip": {"depth": 1, "heads": 2, "head_dim": 4, "mlp_dim": 8, "frames": 6, "epochs": 4,
                "batch_size": 16, "learning_rate": 0.01, "optimiser": "adamw",
                "schedule": "cosine", "position_rows": 8},
    "downstream": {"depth": 1, "heads": 2, "head_dim": 4, "mlp_dim": 8, "frames": 6, "epochs": 4,
                   "batch_size": 16, "learning_rate": 0.01, "position_rows": 8, "hidden": 8},
    "linear": {"epochs": 3},
    "arpl": {"epochs": 4, "batch_size": 16, "learning_rate": 0.01},
    "hesp": {"frames": 3, "context_tokens": 4, "epochs": 2, "batch_size": 16, "crop_area": [0.7, 1],
             "step_patch": 0.02, "step_negative": 0.02},
    "expclip": {"teacher_dim": DIM, "epochs": 4, "batch_size": 16, "learning_rate": 0.05},
    "clip": {},
    "mllm": {},
    "finecliper": {"frames": 4, "heads": 2, "head_dim": 4, "mlp_dim": 8, "epochs": 2,
                   "batch_size": 16, "learning_rate": 0.01, "warmup_epochs": 0,
                   "caption_text": "text_embeddings"},
}  # fmt: skip
PROMPTS = {label: (f"an expression of {label}.", f"{label}.") for label in LABELS}
CLIP_CONFIG: dict[str, Any] = {
    "embed_dim": DIM,
    "vision_cfg": {
        "image_size": 32,
        "layers": 1,
        "width": 32,
        "head_width": 16,
        "patch_size": 16,
    },
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
}


@dataclass(frozen=True)
class FeatureWorld:
    folder: Path
    clips: list[Clip]
    parts: dict[str, str]
    stores: dict[str, list[Path]]
    backbone: str

    def train_spec(self, method: str, protocol: str = "zero_shot", **changes: Any) -> TrainSpec:
        values = {
            "model": f"my-{method}",
            "method": method,
            "recipe": SMALL.get(method, {}),
            "clips": self.clips,
            "parts": self.parts,
            "stores": self.stores,
            "task": "emotion",
            "labels": LABELS,
            "targets": TARGETS if protocol == "regression" else (),
            "protocol": protocol,
            "split": "fold1",
            "seed": 3,
            "backbone": self.backbone,
            "dataset": "features",
            "prompts": PROMPTS,
            "prompt_set": "expression",
            "provenance": {"visual_features": {"variant": "tiny"}},
        }
        return TrainSpec(**{**values, **changes})

    def predict_spec(self, protocol: str = "zero_shot", **changes: Any) -> PredictSpec:
        rows = [(clip, "fold1") for clip in self.clips if self.parts[clip.id] == "test"]
        values = {
            "evaluation": protocol,
            "protocol": protocol,
            "dataset": "features",
            "task": "emotion",
            "rows": rows,
            "stores": self.stores,
            "labels": LABELS,
            "targets": TARGETS if protocol == "regression" else (),
            "prompts": PROMPTS,
            "prompt_set": "expression",
        }
        return PredictSpec(**{**values, **changes})


def make(folder: Path, backbone: str | None = None) -> FeatureWorld:
    backbone = backbone or write_backbone(folder / "backbone")
    clips = [_clip(number) for number in range(CLIPS)]
    # two of eight subjects are test subjects; they include the clip without a face
    test = {"subject-5", "subject-6"}
    parts = {clip.id: "test" if clip.subject in test else "train" for clip in clips}
    random = np.random.default_rng(0)
    directions = random.standard_normal((len(LABELS), DIM))
    features = {c.id: _features(c, directions, random) for c in clips}
    texts = {c.id: _texts(c, features[c.id], directions, random) for c in clips}
    teacher = {c.id: _teacher(c, features[c.id], directions) for c in clips}
    pictures = {c.id: _pictures(c, features[c.id]) for c in clips}
    stores = {
        "visual_features": _write(folder, "visual_features", clips, features, _FEATURES, backbone),
        "text_embeddings": _write(folder, "text_embeddings", clips, texts, _TEXTS, backbone),
        "teacher_embeddings": _write(
            folder, "teacher_embeddings", clips, teacher, _TEACHER, backbone
        ),
    }
    for stage, schema in picture_stores.SCHEMAS.items():
        rows = {clip_id: found[stage] for clip_id, found in pictures.items()}
        stores[stage] = _write(folder, stage, clips, rows, schema, backbone)
    windows, schema = _attention(folder, clips, pictures, backbone)
    stores["attention"] = _write(folder, "attention", clips, windows, schema, backbone)
    return FeatureWorld(folder, clips, parts, stores, backbone)


def write_backbone(folder: Path, seed: int = 0) -> str:
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    config = {"model_cfg": CLIP_CONFIG, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.CLIP(**CLIP_CONFIG)
    save_file(model.state_dict(), str(folder / "open_clip_model.safetensors"))
    return f"local-dir:{folder}"


def _clip(number: int) -> Clip:
    name, label = f"clip-{number:02d}", LABELS[number % len(LABELS)]
    return Clip(
        id=name,
        path=f"{name}.mp4",
        subject=f"subject-{number % SUBJECTS}",
        captions=() if name == NO_CAPTION else (f"a face of {label}", f"{label} is shown"),
        labels={} if name == NO_LABEL else {"emotion": label},
        targets=_targets(name, LABELS.index(label)),
    )


def _targets(name: str, kind: int) -> dict[str, float]:
    """Numbers that follow from the class, on scales of their own; one clip has half of them."""
    found = {"valence": 50.0 - 30.0 * kind, "arousal": 0.1 * kind**2}
    return {NO_TARGETS: {}, ONE_TARGET: {"valence": found["valence"]}}.get(name, found)


def _features(clip: Clip, directions: np.ndarray, random: np.random.Generator) -> dict[str, Any]:
    if clip.id in (NO_FACE, NO_FACE_IN_TRAINING):
        return {"status": "no_face", "error_type": "RowFailure", "error_message": "no face"}
    frames = int(random.integers(3, 40))
    label = LABELS.index(clip.labels.get("emotion", LABELS[0]))
    noise = random.standard_normal((frames, 2, DIM))
    return {
        "status": "ok",
        "source_index": np.arange(frames, dtype=np.int32),
        "time": np.arange(frames) / 25,
        "valid": np.arange(frames) != 1,
        "features": (directions[label] + noise).astype(np.float16),
    }


def _texts(
    clip: Clip, features: dict[str, Any], directions: np.ndarray, random: np.random.Generator
) -> dict[str, Any]:
    """Vectors of what was said of a clip: nothing of one without a face."""
    if features["status"] != "ok":
        return features
    label = LABELS.index(clip.labels.get("emotion", LABELS[0]))
    noise = 0.3 * random.standard_normal((len(clip.captions), DIM))
    return {
        "status": "ok",
        "texts": list(clip.captions),
        "embeddings": (directions[label] + noise).astype(np.float16),
    }


def _teacher(clip: Clip, features: dict[str, Any], directions: np.ndarray) -> dict[str, Any]:
    """A vector of two single frames, of the whole clip, or of a clip without caption none."""
    if features["status"] != "ok":
        return features
    last = features["source_index"][-1]
    index = {NO_CAPTION: []}.get(clip.id, [0, last] if int(clip.id[-2:]) % 2 else [-1])
    random = np.random.default_rng(int(clip.id[-2:]))
    noise = 0.3 * random.standard_normal((len(index), DIM))
    label = LABELS.index(clip.labels.get("emotion", LABELS[0]))
    return {
        "status": "ok",
        "source_index": np.asarray(index, dtype=np.int32),
        "embeddings": (directions[label][::-1] + noise).astype(np.float16),
    }


def _pictures(clip: Clip, features: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Stage -> row of the image stores, of the same frames as the features."""
    if features["status"] != "ok":
        return dict.fromkeys(picture_stores.SCHEMAS, features)
    smile = LABELS.index(clip.labels.get("emotion", LABELS[0])) - 1.0
    rows = picture_stores.rows(features, smile, np.random.default_rng(int(clip.id[-2:])))
    if clip.id == NO_LANDMARKS:
        rows |= dict.fromkeys(("landmarks", "parsing"), picture_stores.LOST)
    return rows


def _attention(
    folder: Path, clips: list[Clip], pictures: dict[str, Any], backbone: str
) -> tuple[dict[str, Any], pa.Schema]:
    """What the real stage makes of the faces, for one class more and in another order."""
    file = folder / "prompts.yaml"
    file.write_text("names: {templates: ['{label}']}")
    labels = ("fear", *reversed(LABELS))
    config = attention.AttentionConfig(
        backbone=backbone, labels=labels, prompts_file=str(file), frames=3
    )
    compute = attention.STAGE.open(config, Runtime())
    found = {}
    for clip in clips:
        faces = pictures[clip.id]["faces"]
        row = Row(clip, Path(clip.path), {"faces": faces})
        found[clip.id] = compute([row])[0] if faces["status"] == "ok" else faces
    return {key: {"status": "ok", **row} for key, row in found.items()}, attention.schema(config)


_FEATURES = pa.schema(
    [
        frame_list("source_index", "int32"),
        frame_list("time", "float64"),
        frame_list("valid", "bool"),
        frame_array("features", "float16", 2, DIM),
    ]
)
_TEXTS = pa.schema(
    [pa.field("texts", pa.list_(pa.string())), frame_array("embeddings", "float16", DIM)]
)
_TEACHER = pa.schema(
    [frame_list("source_index", "int32"), frame_array("embeddings", "float16", DIM)]
)


def _write(
    folder: Path,
    stage: str,
    clips: list[Clip],
    rows: dict[str, dict[str, Any]],
    schema: pa.Schema,
    backbone: str,
) -> list[Path]:
    paths = []
    for start in range(0, len(clips), SHARD):
        path = folder / stage / f"{start // SHARD:05d}.parquet"
        config = {"backbone": backbone, "source": "captions.raw"}
        footer = {"stage": stage, "config": config, "fingerprint": "f"}
        images = stage in ("faces", "parsing")
        with ShardWriter(path, schema, footer, images=images) as writer:
            for clip in clips[start : start + SHARD]:
                writer.write({"clip_id": clip.id, **rows[clip.id]})
        paths.append(path)
    return paths
