"""Backbones: naming, activation, encoding, preprocessing against open_clip's own."""

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expressway.core.errors import ConfigError, RowFailure, SystemicError
from expressway.faces.pictures import decode
from expressway.networks import backbones
from expressway.networks.backbones import Reference
from expressway.networks.precision import Chunks
from expressway.networks.preprocessing import Preprocess

TinyClip = Callable[..., str]
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def folder_of(model: str) -> Path:
    return Path(model.removeprefix("local-dir:"))


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth blobs with sharp edges on top, as faces have both."""
    import cv2

    generator = np.random.default_rng(seed)
    noise = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 3)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
    return cv2.circle(image, (width // 2, height // 3), min(height, width) // 5, (9, 200, 80), -1)


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys; import expressway.networks.backbones as b; "
        "b.embedding_width('ViT-B-16/openai'); "
        "print([m for m in ('torch', 'open_clip', 'cv2', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ViT-B-32/openai", Reference("tag", "ViT-B-32", "openai")),
        ("ViT-B/32/openai", Reference("tag", "ViT-B-32", "openai")),
        ("hf-hub:laion/CLIP-ViT-B-32", Reference("hub", "laion/CLIP-ViT-B-32")),
        ("local-dir:data/demo/backbone", Reference("folder", "data/demo/backbone")),
    ],
)
def test_parse(text: str, expected: Reference) -> None:
    assert backbones.parse(text) == expected


@pytest.mark.parametrize("text", ["ViT-B-32", "", "local-dir:", "hf-hub:", "s3:bucket/model"])
def test_parse_refuses_other_strings(text: str) -> None:
    with pytest.raises(ConfigError, match="expected ARCHITECTURE/PRETRAINED"):
        backbones.parse(text)


def test_unknown_names_get_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'ViT-B-32'"):
        backbones.embedding_width("ViT-B-33/openai")
    with pytest.raises(ConfigError, match="did you mean 'openai'"):
        backbones.load("ViT-B-32/opennai")


def test_a_real_tag_offline_says_what_to_do() -> None:
    with pytest.raises(SystemicError, match=r"ViT-B-32/openai.*could not be fetched.*local-dir:"):
        backbones.load("ViT-B-32/openai")


def test_a_missing_folder_and_missing_weights(tmp_path: Path, tiny_clip: TinyClip) -> None:
    with pytest.raises(ConfigError, match=r"open_clip_config\.json does not exist"):
        backbones.load(f"local-dir:{tmp_path / 'nowhere'}")
    model = tiny_clip()
    (folder_of(model) / "open_clip_model.safetensors").unlink()
    with pytest.raises(SystemicError, match="no weights file"):
        backbones.load(model)


def test_weights_of_another_architecture_are_refused(tiny_clip: TinyClip) -> None:
    model = tiny_clip()
    path = folder_of(model) / backbones.CONFIG_NAME
    config = json.loads(path.read_text())
    config["model_cfg"]["vision_cfg"]["layers"] = 3
    path.write_text(json.dumps(config))
    with pytest.raises(SystemicError, match="do not fit"):
        backbones.load(model)


@pytest.mark.parametrize("quick", [True, False])
def test_facts_and_parity_with_open_clip(tiny_clip: TinyClip, quick: bool) -> None:
    import open_clip
    import torch

    model = tiny_clip(quick_gelu=quick)
    ours = backbones.load(model)
    theirs = open_clip.create_model(model).eval()
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    texts = ["a smile", "brows lowered, lips pressed " * 40]
    with torch.no_grad():
        expected_images = theirs.encode_image(images)
        expected_texts = theirs.encode_text(open_clip.get_tokenizer(model)(texts))
    torch.testing.assert_close(ours.encode_images(images), expected_images)
    torch.testing.assert_close(ours.encode_texts(texts, batch_size=1), expected_texts)
    assert (ours.dim, ours.image_size, ours.text_width, ours.context_length) == (16, 32, 8, 77)
    assert ours.logit_scale == pytest.approx(theirs.logit_scale.item())
    assert ours.encode_texts([]).shape == (0, 16)
    assert not any(parameter.requires_grad for parameter in ours.model.parameters())
    weights = folder_of(model) / "open_clip_model.safetensors"
    assert ours.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_local_files_are_what_decides_the_output(tiny_clip: TinyClip) -> None:
    model = tiny_clip()
    (folder_of(model) / "README.md").write_text("a model card")
    names = [Path(path).name for path in backbones.local_files(model)]
    assert names == ["open_clip_config.json", "open_clip_model.safetensors"]
    assert backbones.local_files("ViT-B-32/openai") == ()


@pytest.fixture
def registered(tiny_clip: TinyClip, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], str]:
    """Register tiny weights with open_clip as the set ``tiny-test/openai``."""
    from open_clip import factory, pretrained

    def register(built_quick: bool) -> str:
        model = tiny_clip("registered", quick_gelu=True)
        config = json.loads((folder_of(model) / backbones.CONFIG_NAME).read_text())["model_cfg"]
        facts = pretrained._pcfg(
            file=str(folder_of(model) / "open_clip_model.safetensors"), quick_gelu=True
        )
        architecture = {**config, "quick_gelu": built_quick}
        monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny-test", architecture)
        monkeypatch.setitem(pretrained._PRETRAINED, "tiny-test", {"openai": facts})
        return model

    return register


@pytest.mark.parametrize("built_quick", [True, False])
def test_the_openai_tag_gets_quick_gelu(
    registered: Callable[[bool], str], built_quick: bool
) -> None:
    import torch

    same_weights = registered(built_quick)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    tagged = backbones.load("tiny-test/openai").encode_images(images)
    torch.testing.assert_close(tagged, backbones.load(same_weights).encode_images(images))


def test_the_activation_changes_the_features(tiny_clip: TinyClip) -> None:
    import torch

    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    quick = backbones.load(tiny_clip("quick", quick_gelu=True)).encode_images(images)
    exact = backbones.load(tiny_clip("exact", quick_gelu=False)).encode_images(images)
    assert not torch.allclose(quick, exact, atol=1e-4)


@pytest.mark.parametrize("declared", ["openai", "ViT-B-32/openai", "ViT-B-32:openai"])
def test_a_folder_of_openai_weights_without_quick_gelu_is_refused(
    tiny_clip: TinyClip, declared: str
) -> None:
    with pytest.raises(ConfigError, match=r'trained with QuickGELU.*"quick_gelu": true'):
        backbones.load(tiny_clip(quick_gelu=False, pretrained=declared))


def test_a_folder_that_says_quick_gelu_against_its_source_is_refused(tiny_clip: TinyClip) -> None:
    with pytest.raises(ConfigError, match=r'trained with GELU.*"quick_gelu": false'):
        backbones.load(tiny_clip(quick_gelu=True, pretrained="laion2b_s34b_b79k"))


def test_a_timm_model_card_counts_as_declaration(tiny_clip: TinyClip) -> None:
    model = tiny_clip(quick_gelu=False)
    (folder_of(model) / "config.json").write_text('{"pretrained_cfg": {"tag": "openai"}}')
    with pytest.raises(ConfigError, match="trained with QuickGELU"):
        backbones.load(model)


def test_a_set_trained_without_quick_gelu_is_refused_under_a_quickgelu_name() -> None:
    with pytest.raises(ConfigError, match="use ViT-B-32/laion2b_s34b_b79k"):
        backbones.load("ViT-B-32-quickgelu/laion2b_s34b_b79k")


def test_every_openai_set_of_open_clip_expects_quick_gelu() -> None:
    import open_clip

    models = open_clip.list_pretrained_models_by_tag("openai")
    assert len(models) >= 9
    assert all(backbones.expected_quick_gelu(f"{name}/openai") for name in models)
    assert backbones.expected_quick_gelu("ViT-B-32/laion2b_s34b_b79k") is False


def test_patch_tokens_lead_to_the_class_token_s_neighbours(tiny_clip: TinyClip) -> None:
    """With average pooling the projected mean of the tokens is the image embedding."""
    import torch

    vision = {
        "image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8,
        "pool_type": "avg",
    }  # fmt: skip
    backbone = backbones.load(tiny_clip(vision_cfg=vision))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    tokens = backbone.patch_tokens(images)
    assert tokens.shape == (2, 16, 32)
    pooled = tokens.mean(1) @ backbone.model.visual.proj
    torch.testing.assert_close(pooled, backbone.encode_images(images))


def test_patch_tokens_of_a_convolutional_tower_are_refused(tiny_clip: TinyClip) -> None:
    import torch

    vision = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8}
    backbone = backbones.load(tiny_clip(vision_cfg=vision))
    with pytest.raises(ConfigError, match="only for vision transformers"):
        backbone.patch_tokens(torch.zeros(1, 3, 32, 32))


def test_bf16_stays_near_fp32(tiny_clip: TinyClip) -> None:
    import torch

    model = tiny_clip()
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    exact = backbones.load(model).encode_images(images)
    lower = backbones.load(model, precision="bf16").encode_images(images)
    assert lower.dtype == torch.float32
    # bf16 keeps 8 bits of mantissa: a relative error of 2**-8 per operation, a few layers deep
    similarity = torch.nn.functional.cosine_similarity(exact, lower)
    assert similarity.min() > 0.999
    assert not torch.equal(exact, lower)


def test_a_missing_gpu_is_an_error(tiny_clip: TinyClip, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemicError, match="torch sees no GPU"):
        backbones.load(tiny_clip(), device="cuda")


def jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("shape", [(224, 224), (48, 48), (90, 131), (240, 101)])
@pytest.mark.parametrize("size", [(64, 64), (56, 72)])
def test_preprocessing_equals_open_clip_s(
    interpolation: Any, mode: Any, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    """From JPEG bytes to normalised pixels: within two of 255 levels, without a bias.

    Both filters round to bytes between the horizontal and the vertical pass, in their own way.
    """
    import torch
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from PIL import Image

    if mode == "shortest" and size[0] != size[1]:
        interpolation = "bicubic"  # open_clip ignores the option for a target that is not square
    data = jpeg(picture(*shape))
    facts = PreprocessCfg(size=size, interpolation=interpolation, resize_mode=mode)
    theirs = image_transform_v2(facts, is_train=False)(Image.open(io.BytesIO(data)))
    preprocess = Preprocess(size, CLIP_MEAN, CLIP_STD, interpolation, mode)
    ours = preprocess.normalise(preprocess.resize(decode(data))[None])[0]
    levels = (ours - theirs) * torch.tensor(CLIP_STD).view(3, 1, 1) * 255
    assert levels.abs().max() < 2.01
    assert levels.abs().mean() < 0.25
    assert levels.mean().abs() < 0.01


def test_unnormalised_pixels_stay_between_zero_and_one() -> None:
    import torch

    preprocess = Preprocess((8, 8), CLIP_MEAN, CLIP_STD).unnormalised()
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    assert preprocess.normalise(pixels).flatten().tolist() == pytest.approx([0.0, 0.2, 1.0])


def test_the_folder_s_preprocessing_is_used(tiny_clip: TinyClip) -> None:
    wanted = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear",
              "resize_mode": "squash"}  # fmt: skip
    preprocess = backbones.load(tiny_clip(preprocess_cfg=wanted)).preprocess
    assert preprocess == Preprocess((32, 32), (0.5,) * 3, (0.25,) * 3, "bilinear", "squash")


@pytest.mark.parametrize("data", [b"", b"no image", jpeg(np.zeros((8, 8, 3), np.uint8))[:40]])
def test_bytes_that_are_no_image_cost_the_row(data: bytes) -> None:
    with pytest.raises(RowFailure, match="cannot be decoded") as caught:
        decode(data)
    assert caught.value.status == "unreadable"


def test_chunks_halve_when_memory_runs_out(caplog: pytest.LogCaptureFixture) -> None:
    import torch

    def double(items: list[int]) -> list[int]:
        if len(items) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [2 * item for item in items]

    chunks = Chunks(16, "frames")
    results = chunks.run(double, list(range(10)))
    assert [value for part in results for value in part] == [2 * item for item in range(10)]
    assert chunks.size == 2
    assert [record.getMessage()[-1] for record in caplog.records] == ["8", "4", "2"]


def test_chunks_stop_at_one() -> None:
    import torch

    def never(items: list[int]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(SystemicError, match="not even one"):
        Chunks(4, "frames").run(never, [1, 2])
