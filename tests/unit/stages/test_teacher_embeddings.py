"""teacher_embeddings: both teachers through the stage runner, frames, journal, faults."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tiny_teachers
from pydantic import ValidationError

from expressway.core.columns import blobs, frame_list
from expressway.core.manifest import Clip
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.stage import Row, Runtime, Source
from expressway.core.store import ShardReader, ShardWriter
from expressway.faces.pictures import decode
from expressway.language import teachers
from expressway.networks import backbones
from expressway.stages import teacher_embeddings
from expressway.stages.teacher_embeddings import STAGE, TeacherEmbeddingsConfig, chosen

Make = Callable[..., str]
SMILE, FROWN = "the lip corners are pulled up", "a frown: brows drawn together"
CLIPS = [
    Clip("a", "a.mp4", captions=(SMILE, FROWN)),
    Clip("b", "b.mp4"),
    Clip("c", "c.mp4", captions=(FROWN,)),
]


@pytest.fixture(scope="module")
def blip2(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_teachers.save(tmp_path_factory.mktemp("teacher") / "blip2", "blip2")


def crop(seed: int) -> bytes:
    import cv2

    noise = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


@pytest.fixture
def faces(tmp_path: Path) -> Source:
    """Five frames, the second not valid; no face; one frame."""
    path = tmp_path / "faces.parquet"
    fields = [frame_list("source_index", "int32"), frame_list("valid", "bool"), blobs("crops")]
    with ShardWriter(path, pa.schema(fields), {}, images=True) as writer:
        five = {"source_index": np.arange(5) * 2, "valid": np.array([1, 0, 1, 1, 1], bool)}
        writer.write({"clip_id": "a", "status": "ok", **five, "crops": [crop(n) for n in range(5)]})
        writer.write({"clip_id": "b", "status": "no_face"})
        one = {"source_index": np.array([0]), "valid": np.array([True]), "crops": [crop(9)]}
        writer.write({"clip_id": "c", "status": "ok", **one})
    return Source(path=path)


def embed(
    tmp_path: Path, config: TeacherEmbeddingsConfig, name: str = "out", **changes: Any
) -> ShardReader:
    values: dict[str, Any] = {"clips": CLIPS, "inputs": {}, **changes}
    output = tmp_path / f"{name}.parquet"
    run(Job(STAGE, config, root=tmp_path, output=output, footer={}, **values))
    return ShardReader(output)


def statuses(store: ShardReader) -> list[str]:
    return [state["status"] for state in store.states]


def test_blip2_on_chosen_frames(tmp_path: Path, blip2: str, faces: Source) -> None:
    config = TeacherEmbeddingsConfig(teacher="blip2", model=blip2, frames=2)
    store = embed(tmp_path, config, inputs={"faces": faces})
    assert statuses(store) == ["ok", "skipped", "ok"]
    row = store.row(0)
    # valid are 0, 4, 6, 8; the middles of two halves
    assert row["source_index"].tolist() == [4, 8]
    assert row["embeddings"].shape == (2, tiny_teachers.WIDTH)
    assert row["embeddings"].dtype == np.float16
    wanted = teachers.load(blip2).encode_images([decode(crop(2)), decode(crop(4))], ["", ""])
    # half a unit in the last place of fp16
    np.testing.assert_allclose(row["embeddings"], wanted.numpy(), rtol=2**-10, atol=1e-4)
    assert store.row(2)["source_index"].tolist() == [0]
    assert store.row(2)["embeddings"].shape == (1, tiny_teachers.WIDTH)


def test_batching_changes_nothing(tmp_path: Path, blip2: str, faces: Source) -> None:
    for published in (False, True):
        rows = []
        for size in (1, 3):
            config = TeacherEmbeddingsConfig(
                teacher="blip2", model=blip2, frames=3, batch_size=size, published=published
            )
            store = embed(tmp_path, config, inputs={"faces": faces})
            rows.append(store.row(0)["embeddings"])
        np.testing.assert_allclose(*rows, rtol=2**-9, atol=1e-3)


def test_published_means_raw_pixels_and_dropout(tmp_path: Path, blip2: str, faces: Source) -> None:
    variants = {
        "corrected": {},
        "published": {"published": True},
        "raw pixels": {"published": True, "teacher_dropout": False},
        "dropout": {"teacher_dropout": True},
        "another seed": {"published": True, "seed": 1},
    }
    found = {
        name: embed(
            tmp_path,
            TeacherEmbeddingsConfig(teacher="blip2", model=blip2, **keys),
            inputs={"faces": faces},
        ).row(2)["embeddings"]
        for name, keys in variants.items()
    }
    for name, values in found.items():
        others = [other for key, other in found.items() if key != name]
        # measured: 0.006 between pixels, 0.2 between dropout or not
        assert all(np.abs(values - other).max() > 2e-3 for other in others), name
    wanted = teachers.load(blip2, published=True, dropout=True).encode_images(
        [decode(crop(9))], ["c/0"]
    )
    np.testing.assert_allclose(found["published"], wanted.numpy(), rtol=2**-10, atol=1e-4)


def test_captions_through_a_clip_s_text_tower(tmp_path: Path, tiny_clip: Make) -> None:
    import torch

    backbone = tiny_clip()
    store = embed(tmp_path, TeacherEmbeddingsConfig(backbone=backbone))
    assert statuses(store) == ["ok"] * 3
    with torch.no_grad():
        wanted = backbones.load(backbone).encode_texts([SMILE, FROWN]).numpy()
    for row, vector in ((store.row(0), wanted[0]), (store.row(2), wanted[1])):
        assert row["source_index"].tolist() == [-1]
        assert row["embeddings"].shape == (1, 16)
        np.testing.assert_allclose(row["embeddings"][0], vector, rtol=2**-10, atol=1e-4)
    assert store.row(1)["embeddings"].shape == (0, 16)
    assert store.row(1)["source_index"].shape == (0,)


def test_captions_through_t5(tmp_path: Path, tiny_text_model: Make) -> None:
    folder = tiny_text_model("t5")
    config = TeacherEmbeddingsConfig(encoder="transformers", model=folder)
    assert config.weights() == (folder,)
    assert embed(tmp_path, config).row(0)["embeddings"].shape == (1, 24)


def test_captions_from_a_store(tmp_path: Path, tiny_clip: Make) -> None:
    path = tmp_path / "captions.parquet"
    with ShardWriter(path, pa.schema([pa.field("refined", pa.string())]), {}) as writer:
        for clip, text in zip(CLIPS, (FROWN, SMILE, None), strict=True):
            writer.write({"clip_id": clip.id, "status": "ok", "refined": text})
    config = TeacherEmbeddingsConfig(
        source="captions.refined", captions="geometry", backbone=tiny_clip()
    )
    assert config.upstream() == {"captions": "geometry"}
    store = embed(tmp_path, config, inputs={"captions": Source(path=path)})
    assert [len(store.row(index)["embeddings"]) for index in range(3)] == [1, 1, 0]


def test_remembered_captions_are_bounded(
    tmp_path: Path, tiny_clip: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TeacherEmbeddingsConfig(backbone=tiny_clip(), batch_size=1)
    free = [embed(tmp_path, config).row(index)["embeddings"] for index in range(3)]
    monkeypatch.setattr(teacher_embeddings, "REMEMBERED", 0)
    bounded = [embed(tmp_path, config).row(index)["embeddings"] for index in range(3)]
    for one, other in zip(free, bounded, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_stopped_job_goes_on_where_it_was(
    tmp_path: Path, blip2: str, faces: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finished rows come from the journal: the model sees each image once over both jobs."""
    config = TeacherEmbeddingsConfig(teacher="blip2", model=blip2, batch_size=1)
    seen: list[str] = []
    encode = teachers.Blip2Teacher.encode_images

    def counting(self: Any, images: Any, keys: Any) -> Any:
        if seen == ["a/6"] and "stop" not in state:
            state.add("stop")
            raise KeyboardInterrupt
        seen.extend(keys)
        return encode(self, images, keys)

    state: set[str] = set()
    monkeypatch.setattr(teachers.Blip2Teacher, "encode_images", counting)
    journal = {"journal": tmp_path / "journal.sqlite", "keys": ["1", "2", "3"]}
    inputs = {"faces": faces}
    with pytest.raises(KeyboardInterrupt):
        embed(tmp_path, config, inputs=inputs, **journal)
    resumed = embed(tmp_path, config, inputs=inputs, **journal)
    assert seen == ["a/6", "c/0"]
    monkeypatch.undo()
    whole = embed(tmp_path, config, "whole", inputs=inputs)
    assert statuses(resumed) == statuses(whole)
    for index in (0, 2):
        np.testing.assert_array_equal(
            resumed.row(index)["embeddings"], whole.row(index)["embeddings"]
        )


def test_a_broken_crop_costs_one_clip(tmp_path: Path, blip2: str) -> None:
    config = TeacherEmbeddingsConfig(teacher="blip2", model=blip2)
    path = tmp_path / "broken.parquet"
    fields = [frame_list("source_index", "int32"), frame_list("valid", "bool"), blobs("crops")]
    with ShardWriter(path, pa.schema(fields), {}) as writer:
        for clip, data in zip(CLIPS, (crop(0), b"broken", crop(1)), strict=True):
            row = {"source_index": np.array([0]), "valid": np.array([True]), "crops": [data]}
            writer.write({"clip_id": clip.id, "status": "ok", **row})
    store = embed(tmp_path, config, inputs={"faces": Source(path=path)})
    assert statuses(store) == ["ok", "unreadable", "ok"]


@pytest.mark.parametrize(
    ("valid", "count", "wanted"),
    [
        ([1, 1, 1, 1, 1], 1, [2]),
        ([1, 1, 1, 1], 2, [1, 3]),
        ([0, 1, 0, 1], 1, [3]),
        ([1, 1], 8, [0, 1]),
        ([0, 0, 0], 1, [1]),
        ([], 3, []),
    ],
)
def test_chosen_frames(valid: list[int], count: int, wanted: list[int]) -> None:
    assert chosen(np.array(valid, bool), count).tolist() == wanted


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"teacher": "blip2"}, "blip2 needs the key model"),
        ({"teacher": "blip2", "model": "m", "backbone": "b"}, "blip2 does not read backbone"),
        ({"teacher": "blip2", "model": "m", "pooling": "mean"}, "blip2 does not read pooling"),
        ({"backbone": "b", "frames": 2}, "caption_text does not read frames"),
        ({}, "needs the key backbone"),
        ({"encoder": "transformers"}, "needs the key model"),
    ],
)
def test_keys_belong_to_their_teacher(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        TeacherEmbeddingsConfig(**keys)


def test_only_keys_of_the_teacher_make_vectors_stale(blip2: str) -> None:
    config = TeacherEmbeddingsConfig(teacher="blip2", model=blip2, faces="f")
    assert config.upstream() == {"faces": "f"}
    assert config.manifest_columns() == ("id",)
    assert config.weights() == (blip2,)
    assert "pooling" not in config.identity()
    assert config.identity()["instruction"] == teachers.INSTRUCTION
    captions = TeacherEmbeddingsConfig(backbone="ViT-B-32/openai")
    assert captions.manifest_columns() == ("id", "caption")
    assert "instruction" not in captions.identity()
    assert captions.identity()["backbone"] == "ViT-B-32/openai"


def test_every_column_is_filled(tmp_path: Path, tiny_clip: Make) -> None:
    config = TeacherEmbeddingsConfig(backbone=tiny_clip())
    rows = STAGE.open(config, Runtime())([Row(clip, tmp_path) for clip in CLIPS])
    assert all(set(row) == set(STAGE.schema(config).names) for row in rows)
    assert STAGE.journal
