"""attention: windows follow CLIP's patch similarity, class by class, and survive bad clips."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import open_clip
import pytest
import torch

from expressway.core.columns import blobs, frame_list
from expressway.core.errors import ConfigError
from expressway.core.manifest import Clip
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.stage import Row, Runtime, Source
from expressway.core.store import ShardReader, ShardWriter
from expressway.data.patch_windows import best_window
from expressway.networks import backbones
from expressway.stages.attention import STAGE, AttentionConfig, Comparison

Make = Callable[..., str]
LABELS = ("happiness", "anger", "fear")
PROMPTS = "p: {templates: ['a face of {label}.', '{label}']}\n"


def crop(seed: int, side: int = 32) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".png", cv2.GaussianBlur(noise, (0, 0), 2))[1])


def face_row(name: str, crops: list[bytes], valid: list[bool] | None = None) -> Row:
    facts = {
        "crops": crops,
        "source_index": np.arange(len(crops), dtype=np.int32),
        "time": np.arange(len(crops)) / 25,
        "valid": np.array(valid or [True] * len(crops)),
    }
    return Row(Clip(name, f"{name}.mp4"), Path(f"{name}.mp4"), {"faces": facts})


@pytest.fixture
def config(tmp_path: Path, tiny_clip: Make) -> AttentionConfig:
    (tmp_path / "prompts.yaml").write_text(PROMPTS)
    return AttentionConfig(
        backbone=tiny_clip(), labels=LABELS, prompts="p", frames=4,
        prompts_file=str(tmp_path / "prompts.yaml"),
    )  # fmt: skip


def compute(config: AttentionConfig, rows: list[Row]) -> list[dict[str, Any]]:
    return STAGE.open(config, Runtime())(rows)


def by_hand(config: AttentionConfig, images: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Maps (4, 4, classes) and scores, step by step through open_clip's own modules."""
    model = open_clip.create_model(config.backbone).eval()
    tokenizer = open_clip.get_tokenizer(config.backbone)
    backbone = backbones.load(config.backbone)
    pixels = torch.stack(
        [
            torch.from_numpy(cv2.imdecode(np.frombuffer(i, np.uint8), cv2.IMREAD_COLOR_RGB))
            for i in images
        ]
    ).permute(0, 3, 1, 2)
    with torch.no_grad():
        texts = []
        for label in LABELS:
            ids = tokenizer([f"a face of {label}.", label])
            unit = torch.nn.functional.normalize(model.encode_text(ids), dim=-1)
            texts.append(torch.nn.functional.normalize(unit.mean(0), dim=-1))
        visual = model.visual
        tokens = visual._embeds(backbone.preprocess.normalise(pixels))
        tokens = visual.ln_post(visual.transformer(tokens)) @ visual.proj
        patches = torch.nn.functional.normalize(tokens[:, 1:], dim=-1)
        maps = (patches @ torch.stack(texts).T).mean(0).reshape(4, 4, 3)
        clip = torch.nn.functional.normalize(tokens[:, 0].mean(0), dim=-1)
        return maps.numpy(), (torch.stack(texts) @ clip).numpy()


def test_windows_are_those_of_the_similarity_to_each_text(config: AttentionConfig) -> None:
    crops = [crop(seed) for seed in range(4)]
    [found] = compute(config, [face_row("a", crops)])
    maps, scores = by_hand(config, crops)
    np.testing.assert_allclose(found["scores"], scores, atol=1e-5)
    for index in range(len(LABELS)):
        expected = best_window(maps[..., index], 32)
        # a window more or less may be equally good to rounding
        assert np.abs(found["windows"][index] - expected).max() <= 1
    assert found["labels"] == list(LABELS)
    assert found["image_size"] == 32


def test_the_window_follows_what_is_similar(config: AttentionConfig) -> None:
    backbone = backbones.load(config.backbone)
    comparison = Comparison(config, backbone)
    # a text vector equal to one patch's token: that patch must win
    pixels = comparison._pixels(face_row("a", [crop(3)] * 4).inputs["faces"])
    tokens = (
        backbone.patch_tokens(backbone.preprocess.normalise(pixels)) @ backbone.model.visual.proj
    )
    for patch in (0, 6, 15):
        comparison.texts = torch.nn.functional.normalize(tokens[0, patch][None], dim=-1)
        row, column = comparison._clip(pixels)["windows"][0]
        middle = 8 * np.array(divmod(patch, 4)) + 4
        assert np.abs(np.array([row, column]) - middle).max() <= 4


def test_frames_without_a_face_are_not_looked_at(config: AttentionConfig) -> None:
    good, bad = [crop(0), crop(1)], crop(9)
    plain = compute(config, [face_row("a", good)])[0]
    mixed = face_row("a", [good[0], good[1], bad, bad], [True, True, False, False])
    found = compute(config, [mixed])[0]
    # of four frames in four parts the last two come from the nearest one with a face
    assert not np.array_equal(found["scores"], compute(config, [face_row("a", [bad])])[0]["scores"])
    expected = by_hand(config, [good[0], good[1], good[1], good[1]])[1]
    np.testing.assert_allclose(found["scores"], expected, atol=1e-5)
    np.testing.assert_allclose(plain["scores"], expected, atol=1e-5)


def test_the_batch_changes_nothing(config: AttentionConfig) -> None:
    rows = [face_row(name, [crop(i), crop(i + 10)]) for i, name in enumerate("abc")]
    for row, together in zip(rows, compute(config, rows), strict=True):
        alone = compute(config, [row])[0]
        np.testing.assert_array_equal(alone["windows"], together["windows"])


def test_centre_is_the_middle_for_every_class(config: AttentionConfig) -> None:
    middle = config.model_copy(update={"rule": "centre"})
    [found] = compute(middle, [face_row("a", [crop(0)])])
    assert found["windows"].tolist() == [[16, 16]] * 3
    assert found["scores"].tolist() == [0.0] * 3


def test_texts_and_not_their_file_make_a_store_stale(config: AttentionConfig) -> None:
    before = config.identity()
    path = Path(config.prompts_file)
    path.write_text("other: {templates: ['{label}']}\n" + PROMPTS)
    assert config.identity() == before
    path.write_text(PROMPTS.replace("face", "picture"))
    assert config.identity() != before
    centre = config.model_copy(update={"rule": "centre", "prompts_file": "nowhere.yaml"})
    assert "texts" not in centre.identity()
    assert config.upstream() == {"faces": "default"}
    assert len(config.weights()) == 2


def test_backbones_without_patch_tokens_are_refused(config: AttentionConfig, tiny_clip) -> None:
    vision = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    convolutional = config.model_copy(update={"backbone": tiny_clip("r", vision_cfg=vision)})
    with pytest.raises(ConfigError, match="only for vision transformers"):
        compute(convolutional, [face_row("a", [crop(0)])])


def test_through_the_runner_bad_clips_are_rows(tmp_path: Path, config: AttentionConfig) -> None:
    import pyarrow as pa

    fields = pa.schema(
        [
            frame_list("source_index", "int32"),
            frame_list("time", "float64"),
            frame_list("valid", "bool"),
            blobs("crops"),
        ]
    )
    with ShardWriter(tmp_path / "faces.parquet", fields, {}, images=True) as writer:
        good, broken = face_row("a", [crop(0)] * 3), face_row("b", [b"no image"] * 3)
        for row in (good, broken):
            writer.write({"clip_id": row.clip.id, "status": "ok", **row.inputs["faces"]})
        writer.write({"clip_id": "c", "status": "no_face", "error_message": "no face"})
    clips = [Clip(name, f"{name}.mp4") for name in "abc"]
    inputs = {"faces": Source(path=tmp_path / "faces.parquet")}
    job = Job(STAGE, config, clips, tmp_path, inputs, tmp_path / "out.parquet", {})
    assert run(job) == {"ok": 1, "unreadable": 1, "skipped": 1}
    kept = ShardReader(job.output).row(0)
    assert kept["labels"] == list(LABELS)
    assert kept["windows"].shape == (3, 2)
    expected = compute(config, [good])[0]
    np.testing.assert_array_equal(kept["windows"], expected["windows"])
