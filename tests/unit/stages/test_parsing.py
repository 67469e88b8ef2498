"""The parsing stage: real stores in, real stores out, for all three parsers."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from expressway.core.columns import blobs, frame_array, frame_list
from expressway.core.errors import ConfigError
from expressway.core.manifest import Clip
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.stage import Row, Runtime, Source
from expressway.core.store import ShardReader, ShardWriter
from expressway.faces.parsing import INDEX, decode_mask, encode_mask
from expressway.stages.parsing import STAGE, ParsingConfig

CLIPS = [Clip(name, f"{name}.mp4") for name in ("a", "b", "c")]
SIZE = 48
FACTS = [
    frame_list("source_index", "int32"),
    frame_list("time", "float64"),
    frame_list("valid", "bool"),
]


def crop(seed: int) -> bytes:
    import cv2

    noise = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", noise)[1].tobytes()


def facts(frames: int) -> dict[str, Any]:
    return {
        "source_index": np.arange(frames, dtype=np.int32) * 2,
        "time": np.arange(frames) * 0.08,
        "valid": np.ones(frames, bool),
    }


def oval(shift: float) -> np.ndarray:
    """68 points whose jaw is the lower half of a circle; the rest in its middle."""
    angle = np.linspace(np.pi, 0, 17)
    points = np.full((68, 2), SIZE / 2, np.float32)
    points[:17] = np.stack([24 + 16 * np.cos(angle), 20 + 16 * np.sin(angle)], -1)
    points[36:42] += np.array([-6, -6])
    points[42:48] += np.array([6, -6])
    return points + np.array([shift, 0], np.float32)


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Source]:
    """Three clips: two frames; one frame without landmarks; no face."""
    faces, landmarks = tmp_path / "faces.parquet", tmp_path / "landmarks.parquet"
    lost = {"clip_id": "c", "status": "no_face", "error_type": "RowFailure", "error_message": "-"}
    with ShardWriter(faces, pa.schema([*FACTS, blobs("crops")]), {}, images=True) as writer:
        writer.write({"clip_id": "a", "status": "ok", **facts(2), "crops": [crop(0), crop(1)]})
        writer.write({"clip_id": "b", "status": "ok", **facts(1), "crops": [crop(2)]})
        writer.write(lost)
    fields = [
        *FACTS,
        frame_array("points", "float32", 68, 2),
        frame_array("mesh", "float32", 478, 3),
    ]
    with ShardWriter(landmarks, pa.schema(fields), {}) as writer:
        points = np.stack([oval(0), oval(4)])
        seen = {**facts(2), "valid": np.array([True, False])}
        mesh = np.zeros((0, 478, 3), np.float32)
        writer.write({"clip_id": "a", "status": "ok", **seen, "points": points, "mesh": mesh})
        writer.write({**lost, "clip_id": "b"})
        writer.write(lost)
    return {"faces": Source(path=faces), "landmarks": Source(path=landmarks)}


def parse(tmp_path: Path, inputs: dict[str, Source], config: ParsingConfig) -> ShardReader:
    read = {name: inputs[name] for name in config.upstream()}
    output = tmp_path / "parsing.parquet"
    run(Job(STAGE, config, CLIPS, tmp_path, read, output, {}))
    return ShardReader(output)


def statuses(store: ShardReader) -> list[str]:
    return [state["status"] for state in store.states]


def test_regions(tmp_path: Path, inputs: dict[str, Source]) -> None:
    store = parse(tmp_path, inputs, ParsingConfig())
    assert statuses(store) == ["ok", "skipped", "skipped"]
    row = store.row(0)
    assert row["source_index"].tolist() == [0, 2]
    assert row["valid"].tolist() == [True, False]  # the landmarks', not the crops'
    assert row["missing_classes"] == ["hair"]
    masks = [decode_mask(data) for data in row["masks"]]
    assert [mask.shape for mask in masks] == [(SIZE, SIZE)] * 2
    assert masks[0][30, 24] == INDEX["skin"]
    np.testing.assert_array_equal(masks[1][:, 4:], masks[0][:, :-4])


def test_one_clip_is_one_row_group(tmp_path: Path, inputs: dict[str, Source]) -> None:
    import pyarrow.parquet as pq

    parse(tmp_path, inputs, ParsingConfig())
    metadata = pq.ParquetFile(tmp_path / "parsing.parquet").metadata
    assert metadata.num_row_groups == 3


def test_import_costs_only_the_clip_that_is_missing(
    tmp_path: Path, inputs: dict[str, Source]
) -> None:
    folder = tmp_path / "saved"
    mask = np.random.default_rng(0).integers(0, 11, (SIZE, SIZE), dtype=np.uint8)
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "0.png").write_bytes(encode_mask(mask))
    store = parse(tmp_path, inputs, ParsingConfig(parser="import", folder=str(folder)))
    assert statuses(store) == ["invalid", "ok", "skipped"]
    assert "no label map for 2 of 2 frames" in store.states[0]["error_message"]
    np.testing.assert_array_equal(decode_mask(store.row(1)["masks"][0]), mask)
    assert store.row(1)["missing_classes"] == []


def test_transformers(tmp_path: Path, inputs: dict[str, Source]) -> None:
    import transformers

    labels = ("background", "skin", "nose", "hair")
    config = transformers.SegformerConfig(
        num_encoder_blocks=1, depths=[1], sr_ratios=[4], hidden_sizes=[8], patch_sizes=[7],
        strides=[4], num_attention_heads=[1], mlp_ratios=[2], decoder_hidden_size=8,
        id2label=dict(enumerate(labels)), label2id={n: i for i, n in enumerate(labels)},
    )  # fmt: skip
    folder = tmp_path / "model"
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    transformers.SegformerImageProcessor(size=size).save_pretrained(folder)
    parsing = ParsingConfig(parser="transformers", model=str(folder))
    assert parsing.weights() == (folder.as_posix(),)
    store = parse(tmp_path, inputs, parsing)
    assert statuses(store) == ["ok", "ok", "skipped"]
    assert [len(store.row(index)["masks"]) for index in (0, 1)] == [2, 1]
    assert "upper_lip" in store.row(0)["missing_classes"]
    found = np.unique([decode_mask(data) for data in store.row(0)["masks"]])
    assert set(found) <= {0, 1, 6, 10}


def test_stores_that_are_read() -> None:
    config = ParsingConfig(faces="f", landmarks="l")
    assert config.upstream() == {"faces": "f", "landmarks": "l"}
    config = ParsingConfig(parser="transformers", faces="f", model="nobody/parser")
    assert config.upstream() == {"faces": "f"}
    assert config.weights() == ()


def test_only_keys_of_the_parser_make_masks_stale() -> None:
    config = ParsingConfig(parser="import", folder="x", revision="2")
    assert config.identity() == {
        "parser": "import",
        "faces": "default",
        "folder": "x",
        "revision": "2",
    }
    assert "folder" not in ParsingConfig().identity()


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"parser": "transformers"}, "needs the key model"),
        ({"parser": "import"}, "needs the key folder"),
        ({"model": "m"}, "regions does not read model"),
        ({"parser": "transformers", "model": "m", "landmarks": "l"}, "does not read landmarks"),
        ({"parser": "segformer"}, "regions"),
    ],
)
def test_keys_belong_to_their_parser(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        ParsingConfig(**keys)


def test_a_missing_folder_stops_the_job(tmp_path: Path, inputs: dict[str, Source]) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        parse(tmp_path, inputs, ParsingConfig(parser="import", folder=str(tmp_path / "none")))


def test_every_column_is_filled(tmp_path: Path, inputs: dict[str, Source]) -> None:
    config = ParsingConfig()
    readers = {name: ShardReader(source.path or Path()) for name, source in inputs.items()}
    row = Row(CLIPS[0], tmp_path, {name: reader.row(0) for name, reader in readers.items()})
    found = STAGE.open(config, Runtime())([row])
    assert set(found[0]) == set(STAGE.schema(config).names)
