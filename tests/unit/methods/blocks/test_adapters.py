"""Adapters in frozen towers: nothing changes at first, and only they learn."""

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from expressway.core.errors import ConfigError
from expressway.methods.blocks.adapters import ImageAdapters, TextAdapters
from expressway.networks import backbones

DEMO = Path(__file__).parents[4] / "data/demo/backbone"
TEXTS = ["fear", "A person with an expression of no happiness", " ".join(["jaw"] * 90)]
VISION = {"image_size": 32, "layers": 3, "width": 32, "head_width": 16, "patch_size": 8}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}


def clip(vision: Any = None, text: Any = None, **options: Any) -> Any:
    torch.manual_seed(0)
    config = {"vision_cfg": {**VISION, **(vision or {})}, "text_cfg": {**TEXT, **(text or {})}}
    kind = open_clip.CustomTextCLIP if options.pop("custom", False) else open_clip.CLIP
    model = kind(embed_dim=16, **config, **options)
    return model.eval().requires_grad_(False)


MODELS = {
    "GELU": {},
    "QuickGELU": {"quick_gelu": True},
    "layer scale": {"vision": {"ls_init_value": 0.1}},
    "patches averaged": {"vision": {"pool_type": "avg"}},
    "normalised queries": {"vision": {"block_type": "custom", "qk_norm": True}},
    "text tower of its own": {"custom": True},
}


def moved(module: torch.nn.Module) -> torch.nn.Module:
    """Give every adapter something to say."""
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.add_(0.05 * torch.randn_like(tensor))
    return module


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("over_time", [False, True])
def test_images_are_frozen_clips_at_first(options, over_time) -> None:
    model = clip(**options)
    adapters = ImageAdapters(model, 0.25, over_time=over_time, drop_path=0.5)
    images = torch.randn(6, 3, 32, 32)
    expected = model.encode_image(images)
    # fp32 rounding of other kernels for fewer queries in the last block
    torch.testing.assert_close(adapters.eval()(images, frames=3), expected, atol=1e-6, rtol=0)
    assert not torch.allclose(moved(adapters)(images, frames=3), expected, atol=1e-3)


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_texts_are_frozen_clips_at_first(options) -> None:
    model = clip(**options)
    tokens = open_clip.get_tokenizer("ViT-B-32")(TEXTS)
    adapters = TextAdapters(model, 0.25)
    expected = model.encode_text(tokens)
    torch.testing.assert_close(adapters(tokens), expected, atol=1e-6, rtol=0)
    # what stands behind the end token is not computed, and changes nothing
    torch.testing.assert_close(adapters(tokens[:1]), expected[:1], atol=1e-6, rtol=0)
    assert not torch.allclose(moved(adapters)(tokens), expected, atol=1e-3)


def test_the_demo_backbone_is_itself_at_first() -> None:
    backbone = backbones.load(f"local-dir:{DEMO}")
    images, tokens = torch.randn(4, 3, 64, 64), backbone.tokenize(TEXTS)
    found = ImageAdapters(backbone.model, 0.25)(images, 2), TextAdapters(backbone.model, 1)(tokens)
    torch.testing.assert_close(found[0], backbone.encode_images(images), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found[1], backbone.encode_texts(TEXTS), atol=1e-6, rtol=1e-6)


def test_only_adapters_are_registered_and_get_gradients() -> None:
    model = clip()
    adapters = moved(ImageAdapters(model, 0.25))
    assert all(".serial." in name or ".parallel." in name for name in adapters.state_dict())
    adapters(torch.randn(2, 3, 32, 32), 1).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in adapters.parameters())
    assert all(p.grad is None for p in model.parameters())


def test_only_the_class_token_leaves_the_last_block() -> None:
    shapes = []
    adapters = ImageAdapters(clip(), 0.25)
    for block in adapters.blocks:
        block.register_forward_hook(lambda _, __, out: shapes.append(out.shape[1]))
    adapters(torch.randn(2, 3, 32, 32), 1)
    assert shapes == [17, 17, 1]


@pytest.mark.parametrize("kind", ["images", "texts"])
def test_checkpointing_changes_no_gradient(kind) -> None:
    model, found = clip(), []
    inputs = (torch.randn(4, 3, 32, 32), 2) if kind == "images" else (open_clip.tokenize(TEXTS),)
    for checkpointing in (False, True):
        torch.manual_seed(1)
        made = (
            ImageAdapters(model, 0.25, drop_path=0.5, checkpointing=checkpointing)
            if kind == "images"
            else TextAdapters(model, 0.25, checkpointing)
        )
        moved(made).train()(*inputs).square().sum().backward()
        found.append([p.grad for p in made.parameters()])
    # the same arithmetic twice: bit for bit
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_drop_path_leaves_out_whole_images_in_training_only() -> None:
    adapters = moved(ImageAdapters(clip({"layers": 1}), 0.25, scale=3, drop_path=0.5))
    images = torch.randn(1, 3, 32, 32).expand(64, -1, -1, -1)
    distinct = adapters.train()(images, 1).detach().round(decimals=3).unique(dim=0)
    assert len(distinct) == 2
    assert len(adapters.eval()(images, 1).detach().round(decimals=3).unique(dim=0)) == 1


def test_adapters_over_time_see_the_other_frames() -> None:
    adapters = moved(ImageAdapters(clip(), 0.25, over_time=True)).eval()
    images = torch.randn(4, 3, 32, 32)
    alone, together = adapters(images, frames=1), adapters(images, frames=2)
    assert not torch.allclose(alone, together, atol=1e-4)
    # two clips of two frames: what happens in the second does not reach the first
    images[2:] = 0
    torch.testing.assert_close(adapters(images, frames=2)[:2], together[:2], atol=1e-6, rtol=0)


def test_bfloat16_on_a_cpu() -> None:
    model = clip(quick_gelu=True)
    images, tokens = torch.randn(2, 3, 32, 32), open_clip.tokenize(TEXTS)
    made = ImageAdapters(model, 0.25), TextAdapters(model, 0.25)
    with torch.autocast("cpu", torch.bfloat16):
        found = made[0](images, 1), made[1](tokens)
    for low, exact in zip(
        found, (model.encode_image(images), model.encode_text(tokens)), strict=True
    ):
        assert low.dtype == torch.float32
        # eight bits of mantissa through three blocks
        torch.testing.assert_close(low, exact, atol=0.05 * float(exact.abs().max()), rtol=0)
        low.sum().backward()


def test_towers_without_blocks_are_refused() -> None:
    with torch.device("meta"):
        resnet = open_clip.CLIP(**open_clip.get_model_config("RN50"))
        coca = clip({}, {"embed_cls": True}, custom=True)
    with pytest.raises(ConfigError, match="vision transformers; choose a ViT backbone"):
        ImageAdapters(resnet, 0.25)
    with pytest.raises(ConfigError, match="CLIP's own text transformer, not TextTransformer"):
        TextAdapters(coca, 0.25)
