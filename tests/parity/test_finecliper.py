"""FineCLIPER's numbers (docs/methods/finecliper.md): sizes, losses, and the modules it took over.

Nothing of FineCLIPER was released. Its adapters are AIM's and its temporal transformer is
DFER-CLIP's, which can be compared number by number.
"""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU, ResidualAttentionBlock

from expressway.methods.base import Context
from expressway.methods.blocks.adapters import Adapter, ImageBlockAdapters
from expressway.methods.blocks.temporal import TemporalTransformer
from expressway.methods.finecliper.model import FineCLIPER, Recipe, pair_loss
from expressway.methods.releases.emoclip import temporal_names
from expressway.networks.backbones import Backbone
from expressway.networks.preprocessing import Preprocess

PLAIN = ("frames",)
DAGGER = ("frames", "captions")
STAR = ("frames", "parsing", "landmarks")
BOTH = ("frames", "parsing", "landmarks", "captions")
VARIANTS = (PLAIN, DAGGER, STAR, BOTH)


def normal(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


# --- parameters (section 2.8) -------------------------------------------------------------------


@pytest.fixture(scope="module")
def vit_b_16() -> Backbone:
    """CLIP ViT-B/16 without weights: shapes only."""
    with torch.device("meta"):
        model = open_clip.CLIP(**open_clip.get_model_config("ViT-B-16"))
    return Backbone(
        name="ViT-B-16",
        model=model.requires_grad_(False),
        tokenizer=None,
        preprocess=Preprocess((224, 224), (0.5,) * 3, (0.5,) * 3),
        weights=Path("nowhere"),
        dim=512,
        text_width=512,
        context_length=77,
        logit_scale=4.6,
        device="meta",
        precision="fp32",
    )


def parameters(backbone: Backbone, **recipe) -> float:
    """Millions of trained parameters, two decimals."""
    context = Context(512, ("anger", "fear"), "supervised", backbone=backbone)
    with torch.device("meta"):
        method = FineCLIPER(Recipe(**recipe), context)
    assert not any("visual" in name for name, _ in method.named_parameters())
    return round(sum(p.numel() for p in method.parameters() if p.requires_grad) / 1e6, 2)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (12.37, 13.95, 19.49, 21.07)),
        ({"cue_width": 84}, (12.37, 13.95, 18.61, 20.19)),
        ({"temporal": "mean"}, (10.26, 11.84, 17.38, 18.96)),
        ({"temporal": "aim", "cue_width": 84}, (13.81, 15.39, 20.05, 21.63)),
    ],
    ids=["default", "hidden 84", "no temporal part", "aim"],
)
def test_parameter_counts(vit_b_16, settings, expected) -> None:
    found = tuple(parameters(vit_b_16, modalities=each, **settings) for each in VARIANTS)
    assert found == expected


def test_adapter_sizes() -> None:
    assert sum(p.numel() for p in Adapter(768, 192, skip=True).parameters()) == 295_872
    assert sum(p.numel() for p in Adapter(512, 128, skip=True).parameters()) == 131_712


# --- AIM (adapters) -----------------------------------------------------------------------------


def filled(tensors: dict[str, torch.Tensor], order: list[str]) -> None:
    """Fill in the order of AIM's sorted names; norms around one."""
    with torch.no_grad():
        for index, name in enumerate(order):
            value = 0.02 * normal(index, tuple(tensors[name].shape))
            tensors[name].copy_(value + 1 if "ln_" in name and "weight" in name else value)


@pytest.mark.parametrize("skip", [True, False])
def test_aim_adapter(skip) -> None:
    adapter = Adapter(768, 192, skip=skip)
    filled(dict(adapter.named_parameters()), ["down.bias", "down.weight", "up.bias", "up.weight"])
    with torch.no_grad():
        out = adapter(normal(99, (2, 3, 768)))
    # sums of 4608 fp32 numbers, each good to about 1e-7
    if skip:
        assert float(out.sum()) == pytest.approx(198.368530, abs=1e-3)
        np.testing.assert_allclose(out[0, 0, :3], [-0.182702, 2.016037, 0.244452], atol=1e-5)
    else:
        assert float(out.sum()) == pytest.approx(2.402074, abs=1e-3)
        assert float(out.abs().mean()) == pytest.approx(0.077675, abs=1e-6)


def test_aim_block() -> None:
    block = ResidualAttentionBlock(768, 12, act_layer=QuickGELU).eval()
    adapters = ImageBlockAdapters(768, 192, scale=0.5, drop_path=0.1, over_time=True).eval()
    assert sum(p.numel() for p in adapters.parameters()) == 887_616
    places = ["down.bias", "down.weight", "up.bias", "up.weight"]
    # AIM calls them MLP_Adapter, S_Adapter and T_Adapter, which sort in this order
    own = [f"{name}.{end}" for name in ("parallel", "serial", "over_time") for end in places]
    frozen = [
        *("attn.in_proj_bias", "attn.in_proj_weight", "attn.out_proj.bias", "attn.out_proj.weight"),
        *("ln_1.bias", "ln_1.weight", "ln_2.bias", "ln_2.weight"),
        *("mlp.c_fc.bias", "mlp.c_fc.weight", "mlp.c_proj.bias", "mlp.c_proj.weight"),
    ]
    tensors = {**dict(adapters.named_parameters()), **dict(block.named_parameters())}
    assert set(own + frozen) == set(tensors)
    filled(tensors, own + frozen)
    tokens = normal(98, (50, 8, 768)).transpose(0, 1)
    with torch.no_grad():
        out = adapters(block, tokens, frames=4)
    assert float(out.mean()) == pytest.approx(0.000208, abs=1e-6)
    assert float(out.std()) == pytest.approx(1.067541, abs=1e-5)
    np.testing.assert_allclose(out[0, 0, :3], [0.184060, 1.283725, 0.581798], atol=1e-5)


# --- DFER-CLIP (temporal transformer) -----------------------------------------------------------


def test_dfer_clip_temporal_transformer() -> None:
    module = TemporalTransformer(512, 1, 8, 64, 1024, rows=17).eval()
    assert sum(p.numel() for p in module.parameters()) == 2_110_464
    tensors = dict(module.named_parameters())
    with torch.no_grad():
        for index, (_, name) in enumerate(sorted(temporal_names(1).items())):
            tensors[name].copy_(0.02 * normal(index, tuple(tensors[name].shape)))
        out = module(normal(97, (2, 16, 512)))
    np.testing.assert_allclose(out.norm(dim=1), [0.940028, 0.939081], atol=1e-5)
    np.testing.assert_allclose(out[0, :3], [0.068281, -0.006032, -0.055566], atol=1e-5)


# --- losses (section 3): the similarities of the paper's figure ----------------------------------

# order: happiness, sadness, neutral, anger, surprise, disgust, fear
SIMILARITIES = {
    4: (
        (0.0446, 0.1549, 0.1106, 0.0808, 0.2328, -0.0119, 0.1952),
        (0.0072, 0.0394, 0.0127, 0.0107, -0.0040, 0.0467, 0.0555),
    ),
    0: (
        (0.1499, 0.1440, 0.1885, 0.0965, 0.1107, -0.0249, 0.1336),
        (-0.0163, 0.0325, 0.0280, 0.0063, 0.0310, 0.0306, 0.0528),
    ),
    2: (
        (0.0550, 0.1308, 0.2331, 0.1492, 0.1575, -0.0089, 0.1376),
        (0.0189, 0.0658, -0.0040, 0.0237, 0.0458, 0.0588, 0.0713),
    ),
    6: (
        (0.1175, 0.1453, 0.1334, 0.1097, 0.1805, -0.0374, 0.1768),
        (-0.0020, 0.0609, 0.0457, 0.0105, 0.0598, 0.0486, 0.0270),
    ),
}
LOSSES = {4: 0.000067, 0: 0.451463, 2: 0.000018, 6: 0.106691}


@pytest.mark.parametrize("label", SIMILARITIES)
def test_pair_loss(label) -> None:
    positive, negative = (torch.tensor([row]).double() for row in SIMILARITIES[label])
    loss = pair_loss(positive, negative, torch.tensor([label]), temperature=0.01)
    assert float(loss) == pytest.approx(LOSSES[label], abs=1e-6)


def test_differences_find_the_class_where_single_sentences_do_not() -> None:
    rows = [(label, *map(torch.tensor, pair)) for label, pair in SIMILARITIES.items()]
    assert sum(int((p - n).argmax()) == label for label, p, n in rows) == 4
    assert sum(int(p.argmax()) == label for label, p, n in rows) == 2
    assert sum(int(n.argmin()) == label for label, p, n in rows) == 3
