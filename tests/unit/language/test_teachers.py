"""Teachers: equal to what `generate` computes, on tiny BLIP-2 and InstructBLIP models."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_teachers

from expressway.core.errors import ConfigError, SystemicError
from expressway.language import teachers
from expressway.language.encoders import text_width
from expressway.language.teachers import INSTRUCTION

SIDE, QUERIES, WIDTH = tiny_teachers.SIDE, tiny_teachers.QUERIES, tiny_teachers.WIDTH
KINDS = ["blip2", "instructblip"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("teachers")
    return {kind: tiny_teachers.save(root / kind, kind) for kind in [*KINDS, "opt"]}


def faces(count: int, side: int = SIDE) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(count)]


KEYS = ["a/0", "b/0", "c/7"]


def generated_states(folder: str, images: list[np.ndarray], instruction: str) -> Any:
    """The T5 encoder's states while `generate` runs with five beams, caught by a hook."""
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    network = getattr(transformers, config.architectures[0]).from_pretrained(folder).eval()
    inputs = transformers.AutoProcessor.from_pretrained(folder)(
        images=images, text=[instruction] * len(images), return_tensors="pt"
    )
    inputs.pop("token_type_ids", None)
    caught: list[torch.Tensor] = []
    network.language_model.encoder.final_layer_norm.register_forward_hook(
        lambda module, args, output: caught.append(output)
    )
    with torch.no_grad():
        network.generate(**inputs, num_beams=5, max_new_tokens=2)
    assert len(caught) == 1
    return caught[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("instruction", [INSTRUCTION, "a smile"])
def test_equal_to_the_encoder_states_of_generate(
    folders: dict[str, str], kind: str, instruction: str
) -> None:
    import torch

    images = faces(3)
    wanted = generated_states(folders[kind], images, instruction)
    teacher = teachers.load(folders[kind], instruction=instruction)
    pixels = torch.stack([teacher.preprocess.resize(image) for image in images])
    # fp32 sums in another order; the states are about 1 (measured difference: 1e-6)
    torch.testing.assert_close(teacher.states(pixels), wanted, atol=1e-5, rtol=1e-5)
    assert wanted.shape[1] > QUERIES + 5
    found = teacher.encode_images(images, KEYS)
    assert found.shape == (3, WIDTH)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted.mean(1), atol=1e-5, rtol=1e-5)


def test_the_instruction_is_exp_clips() -> None:
    assert INSTRUCTION == (
        "Please play the role of a facial action describer. Objectively describe the detailed "
        "facial actions of the person in the image."
    )


@pytest.mark.parametrize("kind", KINDS)
def test_image_and_instruction_matter(folders: dict[str, str], kind: str) -> None:
    images = faces(2)
    found = teachers.load(folders[kind]).encode_images(images, KEYS[:2])
    other = teachers.load(folders[kind], instruction="a frown").encode_images(images, KEYS[:2])
    assert not np.allclose(found[0], found[1], atol=1e-3)
    assert not np.allclose(found, other, atol=1e-3)


def test_published_pixels_are_not_normalised(folders: dict[str, str]) -> None:
    import torch

    teacher = teachers.load(folders["blip2"], published=True)
    white = torch.full((1, 3, SIDE, SIDE), 255, dtype=torch.uint8)
    assert teacher.preprocess.normalise(white).unique().tolist() == [1.0]
    assert teacher.preprocess.interpolation == "bilinear"
    corrected = teachers.load(folders["blip2"])
    # CLIP's mean and std of the red channel
    expected = (1 - 0.48145466) / 0.26862954
    assert corrected.preprocess.normalise(white)[0, 0, 0, 0].item() == pytest.approx(expected)
    assert corrected.preprocess.interpolation == "bicubic"
    images = faces(1)
    found = [each.encode_images(images, ["a"]) for each in (teacher, corrected)]
    assert not torch.allclose(*found, atol=1e-3)


def test_images_are_squashed_not_cut(folders: dict[str, str]) -> None:
    wide = np.zeros((40, 90, 3), np.uint8)
    wide[:, :9] = 255
    pixels = teachers.load(folders["blip2"]).preprocess.resize(wide)
    assert pixels.shape == (3, SIDE, SIDE)
    assert pixels[:, :, 0].min() > 200


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_noise_that_follows_from_seed_and_key(
    folders: dict[str, str], kind: str
) -> None:
    import torch

    images = faces(3)
    quiet = teachers.load(folders[kind]).encode_images(images, KEYS)
    noisy = teachers.load(folders[kind], dropout=True, seed=5)
    first = noisy.encode_images(images, KEYS)
    assert not torch.allclose(first, quiet, atol=1e-2)
    alone = noisy.encode_images(images[2:], KEYS[2:])
    torch.testing.assert_close(alone, first[2:], atol=0, rtol=0)
    other_key = noisy.encode_images(images[2:], ["d"])
    other_seed = teachers.load(folders[kind], dropout=True, seed=6).encode_images(images, KEYS)
    assert not torch.allclose(other_key, alone, atol=1e-2)
    assert not torch.allclose(other_seed, first, atol=1e-2)


def test_dropout_spares_vision_and_the_last_step(folders: dict[str, str]) -> None:
    import torch

    teacher = teachers.load(folders["blip2"], dropout=True)
    network = teacher._network
    assert not network.vision_model.training
    assert network.qformer.training
    assert network.language_model.encoder.training
    # behind the final norm dropout would set a tenth of the values to exactly zero
    pixels = torch.stack([teacher.preprocess.resize(image) for image in faces(3)])
    assert (teacher.states(pixels) == 0).sum() == 0


def test_dropout_leaves_the_global_random_state_alone(folders: dict[str, str]) -> None:
    import torch

    teacher = teachers.load(folders["blip2"], dropout=True)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    teacher.encode_images(faces(1), ["a"])
    assert torch.equal(before, torch.get_rng_state())


def test_batches_change_nothing(folders: dict[str, str], monkeypatch: Any) -> None:
    import torch

    together = teachers.load(folders["blip2"]).encode_images(faces(3), KEYS)
    monkeypatch.setattr(teachers, "IMAGES_PER_BATCH", 2)
    apart = teachers.load(folders["blip2"]).encode_images(faces(3), KEYS)
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)
    assert teachers.load(folders["blip2"]).encode_images([], []).shape == (0, WIDTH)


def test_bf16_is_near_fp32(folders: dict[str, str]) -> None:
    import torch

    exact = teachers.load(folders["blip2"]).encode_images(faces(2), KEYS[:2])
    half = teachers.load(folders["blip2"], precision="bf16").encode_images(faces(2), KEYS[:2])
    assert half.dtype == torch.float32
    # 8 bits of mantissa through four small networks with large random weights
    assert torch.nn.functional.cosine_similarity(exact, half).min() > 0.99


def test_the_decoder_is_dropped(folders: dict[str, str]) -> None:
    network = teachers.load(folders["blip2"])._network
    names = [name for name, _ in network.named_parameters()]
    assert any("language_model.encoder" in name for name in names)
    assert not any("decoder" in name or "lm_head" in name for name in names)


def test_the_width_is_known_without_the_weights(folders: dict[str, str], tmp_path: Path) -> None:
    for kind in KINDS:
        bare = tmp_path / kind
        bare.mkdir()
        config = (Path(folders[kind]) / "config.json").read_bytes()
        (bare / "config.json").write_bytes(config)
        assert text_width(str(bare)) == WIDTH


def test_a_model_without_t5_is_refused(folders: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"blip-2 with opt.*expected BLIP-2 or InstructBLIP"):
        teachers.load(folders["opt"])


def test_another_kind_of_model_is_refused(tiny_text_model: Any) -> None:
    with pytest.raises(ConfigError, match=r"a t5 model"):
        teachers.load(tiny_text_model("t5"))


def test_a_model_that_is_not_there_says_what_to_do() -> None:
    with pytest.raises(SystemicError, match=r"blip2-flan-t5-xxl.*save_pretrained"):
        teachers.load("Salesforce/blip2-flan-t5-xxl")
