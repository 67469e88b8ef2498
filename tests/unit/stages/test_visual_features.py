"""visual_features: parity with open_clip, views, batching, faults."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expressway.core.columns import blobs, frame_list
from expressway.core.errors import RowFailure, SystemicError
from expressway.core.manifest import Clip
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.stage import Row, Runtime, Source
from expressway.core.store import ShardReader, ShardWriter
from expressway.networks import backbones
from expressway.stages import visual_features
from expressway.stages.visual_features import (
    STAGE,
    Extractor,
    VisualFeaturesConfig,
    transformed,
    view_matrix,
)

Make = Callable[..., str]
CLIPS = [Clip(name, f"{name}.mp4") for name in ("a", "b", "c")]


def crop(seed: int, size: tuple[int, int] = (48, 48)) -> bytes:
    import cv2

    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    return cv2.imencode(".jpg", cv2.GaussianBlur(noise, (0, 0), 2), quality)[1].tobytes()


def face_row(clip: Clip, crops: list[bytes]) -> Row:
    count = len(crops)
    faces = {
        "crops": crops,
        "source_index": np.arange(count, dtype=np.int32) * 3,
        "time": np.arange(count) * 0.12,
        "valid": np.arange(count) % 2 == 0,
    }
    return Row(clip, Path(clip.path), {"faces": faces})


ROWS = [
    face_row(CLIPS[0], [crop(0), crop(1), crop(2)]),
    face_row(CLIPS[1], []),
    face_row(CLIPS[2], [crop(3, (40, 60))]),
]


def compute(config: VisualFeaturesConfig, rows: list[Row] = ROWS) -> list[dict[str, Any]]:
    return STAGE.open(config, Runtime(threads=2))(rows)


def reference(model: str, data: bytes) -> np.ndarray:
    """One crop through open_clip's own transform and model."""
    import io

    import open_clip
    import torch
    from PIL import Image

    network, _, transform = open_clip.create_model_and_transforms(model)
    with torch.no_grad():
        return network.eval().encode_image(transform(Image.open(io.BytesIO(data)))[None])[0].numpy()


def test_features_equal_open_clip_s(tiny_clip: Make) -> None:
    model = tiny_clip()
    rows = compute(VisualFeaturesConfig(backbone=model))
    assert [row["features"].shape for row in rows] == [(3, 1, 16), (0, 1, 16), (1, 1, 16)]
    assert rows[0]["features"].dtype == np.float16
    for row, index, data in ((0, 1, crop(1)), (2, 0, crop(3, (40, 60)))):
        expected = reference(model, data)
        # pixels differ by up to two levels, values are rounded to fp16
        np.testing.assert_allclose(rows[row]["features"][index, 0], expected, atol=0.01)


def test_frame_facts_are_carried(tiny_clip: Make) -> None:
    rows = compute(VisualFeaturesConfig(backbone=tiny_clip()))
    assert rows[0]["source_index"].tolist() == [0, 3, 6]
    assert rows[0]["valid"].tolist() == [True, False, True]
    assert rows[0]["time"].tolist() == [0.0, 0.12, 0.24]


def test_batching_changes_nothing(tiny_clip: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    config = VisualFeaturesConfig(backbone=tiny_clip(), views=3)
    together = compute(config)
    monkeypatch.setattr(visual_features, "FRAMES_PER_BATCH", 2)
    alone = [compute(config, [row])[0] for row in ROWS]
    for one, other in zip(together, alone, strict=True):
        # another batch size sums in another order; then one fp16 unit may flip
        np.testing.assert_allclose(one["features"], other["features"], rtol=2**-9, atol=1e-3)


def test_the_mirror_view_is_the_mirrored_crop_s_feature(tiny_clip: Make) -> None:
    import cv2

    pixels = cv2.imdecode(np.frombuffer(crop(0, (32, 32)), np.uint8), cv2.IMREAD_COLOR)
    encoded = [cv2.imencode(".png", image)[1].tobytes() for image in (pixels, pixels[:, ::-1])]
    config = VisualFeaturesConfig(backbone=tiny_clip(), views=2)
    plain, mirrored = compute(config, [face_row(CLIPS[0], encoded)])[0]["features"]
    np.testing.assert_allclose(plain[1], mirrored[0], atol=2e-3)
    np.testing.assert_allclose(plain[0], mirrored[1], atol=2e-3)
    assert not np.allclose(plain[0], plain[1], atol=1e-2)


def test_further_views_follow_from_seed_clip_and_view(tiny_clip: Make) -> None:
    model = tiny_clip()
    same = [compute(VisualFeaturesConfig(backbone=model, views=4)) for _ in range(2)]
    np.testing.assert_array_equal(same[0][0]["features"], same[1][0]["features"])
    other = compute(VisualFeaturesConfig(backbone=model, views=4, seed=1))
    np.testing.assert_array_equal(same[0][0]["features"][:, :2], other[0]["features"][:, :2])
    assert not np.allclose(same[0][0]["features"][:, 2:], other[0]["features"][:, 2:], atol=1e-2)


def test_view_matrices_stay_small() -> None:
    matrices = np.stack([view_matrix(0, f"clip-{i}", 2 + i % 3) for i in range(500)])
    sides = np.linalg.norm(matrices[:, :, 0], axis=1)
    angles = np.degrees(np.arctan2(np.abs(matrices[:, 0, 1]), matrices[:, 1, 1]))
    assert sides.min() >= 0.9
    assert sides.max() <= 1.0 + 1e-6
    assert angles.max() <= 6.001
    assert np.abs(matrices[:, :, 2]).max() <= 0.1
    # mirrored or not: 500 fair tosses stay within five standard deviations
    assert abs(int((matrices[:, 0, 0] < 0).sum()) - 250) < 56
    assert len({matrix.tobytes() for matrix in matrices}) == 500


def test_the_matrix_of_the_mirror_view_is_the_flip() -> None:
    import torch

    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    matrices = np.stack([view_matrix(0, "a", 1)] * 2)
    warped = transformed(images, 2, matrices)
    torch.testing.assert_close(warped, transformed(images, 1, matrices), atol=1e-5, rtol=1e-5)


def test_published_expclip_pixels(tiny_clip: Make) -> None:
    """No mean and std, squashed with a bilinear filter."""
    import torch

    model = tiny_clip()
    config = VisualFeaturesConfig(
        backbone=model, normalise=False, resize="squash", interpolation="bilinear"
    )
    white = np.full((40, 60, 3), 255, np.uint8)
    import cv2

    data = cv2.imencode(".png", white)[1].tobytes()
    found = compute(config, [face_row(CLIPS[0], [data])])[0]["features"][0, 0]
    expected = backbones.load(model).encode_images(torch.ones(1, 3, 32, 32))[0].numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)
    extractor = Extractor(config, backbones.load(model))
    assert extractor.preprocess.resize_mode == "squash"
    assert extractor.preprocess.interpolation == "bilinear"


def faces_store(path: Path) -> Source:
    import pyarrow as pa

    fields = pa.schema(
        [
            frame_list("source_index", "int32"),
            frame_list("time", "float64"),
            frame_list("valid", "bool"),
            blobs("crops"),
        ]
    )
    damaged = face_row(CLIPS[1], [crop(5), b"\xff\xd8 no jpeg"])
    with ShardWriter(path, fields, {}, images=True) as writer:
        for row in (ROWS[0], damaged):
            writer.write({"clip_id": row.clip.id, "status": "ok", **row.inputs["faces"]})
        writer.write({"clip_id": "c", "status": "no_face", "error_message": "no face"})
    return Source(path=path)


def test_through_the_runner_one_bad_crop_costs_one_row(tmp_path: Path, tiny_clip: Make) -> None:
    config = VisualFeaturesConfig(backbone=tiny_clip(), views=2, batch_size=8)
    inputs = {"faces": faces_store(tmp_path / "faces.parquet")}
    job = Job(STAGE, config, CLIPS, tmp_path, inputs, tmp_path / "out.parquet", {})
    assert run(job) == {"ok": 1, "unreadable": 1, "skipped": 1}
    store = ShardReader(job.output)
    good = store.row(0)
    assert good["features"].shape == (3, 2, 16)
    assert good["source_index"].tolist() == [0, 3, 6]
    np.testing.assert_array_equal(good["features"], compute(config)[0]["features"])
    assert "cannot be decoded" in store.row(1)["error_message"]
    assert store.row(1)["features"] is None


def test_features_too_large_for_fp16_stop_the_job(tiny_clip: Make) -> None:
    model = tiny_clip()
    backbone = backbones.load(model)
    backbone.model.visual.proj.mul_(1e8)
    extractor = Extractor(VisualFeaturesConfig(backbone=model), backbone)
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(SystemicError, match="does not fit into fp16"),
    ):
        extractor.features(ROWS, pool)


def test_memory_that_runs_out_halves_the_batch(
    tiny_clip: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    model = tiny_clip()
    config = VisualFeaturesConfig(backbone=model)
    expected = compute(config)[0]["features"]
    extractor = Extractor(config, backbones.load(model))
    whole = extractor._views

    def scarce(pixels: Any, matrices: np.ndarray) -> Any:
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(pixels, matrices)

    monkeypatch.setattr(extractor, "_views", scarce)
    with ThreadPoolExecutor(1) as pool:
        found = extractor.features(ROWS, pool)[0]
    np.testing.assert_allclose(found, expected, rtol=2**-9, atol=1e-3)
    assert extractor.chunks.size == 2
    assert "out of GPU memory: frames per batch reduced to 2" in caplog.text


def test_configuration(tiny_clip: Make) -> None:
    model = tiny_clip()
    config = VisualFeaturesConfig(backbone=model, faces="mediapipe", batch_size=3)
    assert config.upstream() == {"faces": "mediapipe"}
    assert [Path(path).name for path in config.weights()] == [
        "open_clip_config.json",
        "open_clip_model.safetensors",
    ]
    assert VisualFeaturesConfig(backbone="ViT-B-32/openai").weights() == ()
    assert config.identity() == VisualFeaturesConfig(backbone=model, faces="mediapipe").identity()
    wide = VisualFeaturesConfig(backbone="ViT-L-14/openai", views=3)
    assert STAGE.schema(wide).field("features").type.value_type.list_size == 3 * 768


def test_the_error_of_a_crop_is_a_row_failure(tiny_clip: Make) -> None:
    with pytest.raises(RowFailure):
        compute(VisualFeaturesConfig(backbone=tiny_clip()), [face_row(CLIPS[0], [b"text"])])
