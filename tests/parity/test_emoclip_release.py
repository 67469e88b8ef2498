"""Importing EmoCLIP's release: a state dict in the official layout becomes a usable model."""

from pathlib import Path

import feature_world
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from expressway import methods
from expressway.cli import app
from expressway.core.errors import ConfigError
from expressway.core.model_card import ModelCard
from expressway.core.store import read_table
from expressway.methods import releases
from expressway.methods.base import Context
from expressway.methods.downstream.model import Downstream
from expressway.models import training
from expressway.models.prediction import scores
from expressway.networks import backbones

DIM, HEADS, HEAD_DIM, DEPTH = feature_world.DIM, 2, 2048, 2


@pytest.fixture(scope="module")
def release(world) -> dict[str, torch.Tensor]:
    """Names and shapes as the authors' VClip has them, wrapped for several GPUs; width 16."""
    inner = HEADS * HEAD_DIM
    random = np.random.default_rng(0)
    shapes = {"cls_token": (1, 1, DIM), "pos_embedding": (1, 1024, DIM)}
    for block in range(DEPTH):
        layer = f"temporal_transformer.layers.{block}."
        shapes |= {
            layer + "0.fn.norm.weight": (DIM,),
            layer + "0.fn.norm.bias": (DIM,),
            layer + "0.fn.fn.to_qkv.weight": (3 * inner, DIM),
            layer + "0.fn.fn.to_out.0.weight": (DIM, inner),
            layer + "0.fn.fn.to_out.0.bias": (DIM,),
            layer + "1.fn.norm.weight": (DIM,),
            layer + "1.fn.norm.bias": (DIM,),
            layer + "1.fn.fn.net.0.weight": (DIM, DIM),
            layer + "1.fn.fn.net.0.bias": (DIM,),
            layer + "1.fn.fn.net.3.weight": (DIM, DIM),
            layer + "1.fn.fn.net.3.bias": (DIM,),
        }
    temporal = {
        f"module.temporal.{name}": torch.from_numpy(0.1 * random.standard_normal(shape)).float()
        for name, shape in shapes.items()
    }
    clip = backbones.load(world.backbone).model.state_dict()
    # OpenAI's names are open_clip's; its files carry three numbers beside the weights, in fp16
    tower = {f"module.backbone.{name}": value.half() for name, value in clip.items()}
    extra = {"module.backbone.input_resolution": torch.tensor(32)}
    return {**temporal, **tower, **extra, "module.logit_scale": torch.tensor(4.5)}


def test_a_release_predicts_through_the_workflow(world, release, tmp_path: Path) -> None:
    torch.save(release, tmp_path / "4.pth")
    out = releases.import_weights("emoclip", tmp_path / "4.pth", tmp_path / "m", world.backbone)
    card = ModelCard.read(out)
    assert card.recipe["published"] is True
    assert (card.recipe["depth"], card.recipe["heads"]) == (DEPTH, HEADS)
    spec = world.predict_spec()
    method = scores.load(out, card, spec)
    block = method.temporal.blocks[0]
    assert (block.head_dim, block.mlp_in.out_features) == (HEAD_DIM, DIM)
    own = "module.temporal.temporal_transformer.layers.1.0.fn.fn.to_qkv.weight"
    assert torch.equal(method.temporal.blocks[1].qkv.weight, release[own])
    table = scores.predict(out, spec, tmp_path / "p.parquet")
    again = scores.predict(out, spec, tmp_path / "again.parquet")
    assert read_table(table).equals(read_table(again))
    assert card.parameters["trainable"] == sum(
        value.numel() for name, value in release.items() if ".backbone." not in name
    )


def test_the_clip_inside_a_release_becomes_a_backbone_folder(world, release, tmp_path) -> None:
    file = tmp_path / "release.safetensors"
    save_file({name: value.contiguous() for name, value in release.items()}, file)
    card = ModelCard.read(releases.import_weights("emoclip", file, tmp_path / "m"))
    inside = backbones.load(card.backbone["model"])
    assert inside.sha256 == card.backbone["sha256"]
    assert (inside.dim, inside.image_size) == (DIM, 32)
    given = backbones.load(world.backbone).model.state_dict()
    for name, value in inside.model.state_dict().items():
        assert torch.equal(value, given[name].half().float()), name


@pytest.fixture(scope="module")
def downstream(release) -> dict[str, torch.Tensor]:
    """The authors' DownstreamTask: image tower under backbone., a head without its last layer."""
    visual = "module.backbone.visual."
    kept = {n: v for n, v in release.items() if n.startswith("module.temporal.")}
    tower = {
        f"module.backbone.{n.removeprefix(visual)}": v
        for n, v in release.items()
        if n.startswith(visual)
    }
    head = {"module.mlp.0.weight": torch.randn(8, DIM), "module.mlp.0.bias": torch.randn(8)}
    return {**kept, **tower, **head}


@pytest.mark.parametrize("method", ["emoclip", "downstream"])
def test_a_downstream_release_becomes_a_model_to_start_from(
    world, downstream, tmp_path, method
) -> None:
    torch.save(downstream, tmp_path / "down.pth")
    out = releases.import_weights(method, tmp_path / "down.pth", tmp_path / "m", world.backbone)
    card, weights = ModelCard.read(out), load_file(out / "model.safetensors")
    assert (card.method, card.recipe["published"], card.recipe["hidden"]) == ("downstream", True, 8)
    context = Context(DIM, ("severity",), "regression")
    made = Downstream(methods.recipe("downstream", card.recipe), context).state_dict()
    # all but the last layer and what is measured on the targets
    left = {"head.2.weight", "head.2.bias", "centre", "spread"}
    assert set(made) - set(weights) == left
    assert all(made[name].shape == value.shape for name, value in weights.items())
    assert torch.equal(weights["head.0.weight"], downstream["module.mlp.0.weight"])
    with pytest.raises(ConfigError, match="no last layer"):
        scores.load(out, card, world.predict_spec("regression"))
    recipe = {**card.recipe, "epochs": 0}
    spec = world.train_spec("downstream", "regression", recipe=recipe, start=out)
    trained = training.train(spec, tmp_path / "trained", tmp_path / "state")
    ours = load_file(trained / "model.safetensors")
    assert all(torch.equal(ours[name], value) for name, value in weights.items())


def test_a_last_layer_is_left_out_since_its_outputs_have_no_names(
    world, downstream, tmp_path
) -> None:
    last = {"module.mlp.2.weight": torch.zeros(7, 8), "module.mlp.2.bias": torch.zeros(7)}
    torch.save({**downstream, **last}, tmp_path / "down.pth")
    out = releases.import_weights("emoclip", tmp_path / "down.pth", tmp_path / "m", world.backbone)
    assert not any("head.2" in name for name in load_file(out / "model.safetensors"))


def test_a_wrong_downstream_file_gets_names_and_a_hint(world, downstream, tmp_path) -> None:
    changed = dict(downstream)
    del changed["module.mlp.0.bias"]
    changed["module.mlp.4.weight"] = torch.zeros(2)
    torch.save(changed, tmp_path / "wrong.pth")
    expected = r"missing: mlp\.0\.bias; unexpected: mlp\.4\.weight"
    with pytest.raises(ConfigError, match=expected):
        releases.import_weights("emoclip", tmp_path / "wrong.pth", tmp_path / "m", world.backbone)
    torch.save(downstream, tmp_path / "down.pth")
    with pytest.raises(ConfigError, match="image tower only; name the CLIP"):
        releases.import_weights("emoclip", tmp_path / "down.pth", tmp_path / "m")
    with pytest.raises(ConfigError, match="width 16, ViT-B-32/openai has 512"):
        releases.import_weights("emoclip", tmp_path / "down.pth", tmp_path / "m", "ViT-B-32/openai")
    assert not (tmp_path / "m").exists()


def test_a_wrong_file_gets_the_missing_and_unexpected_names(release, tmp_path) -> None:
    changed = dict(release)
    del changed["module.temporal.cls_token"]
    changed["module.head.weight"] = torch.zeros(2)
    torch.save(changed, tmp_path / "wrong.pth")
    expected = r"missing: temporal\.cls_token; unexpected: head\.weight"
    with pytest.raises(ConfigError, match=expected):
        releases.import_weights("emoclip", tmp_path / "wrong.pth", tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_intended_widths_are_no_release(release, tmp_path) -> None:
    changed = {
        name: torch.zeros(3 * 8 * 64, DIM) if name.endswith("to_qkv.weight") else value
        for name, value in release.items()
    }
    torch.save(changed, tmp_path / "intended.pth")
    with pytest.raises(ConfigError, match="a release of width 16 has heads of 2048"):
        releases.import_weights("emoclip", tmp_path / "intended.pth", tmp_path / "m")


def test_the_command_says_where_the_model_is(release, tmp_path) -> None:
    torch.save(release, tmp_path / "4.pth")
    asked = ["import-weights", "emoclip", str(tmp_path / "4.pth"), "--out", str(tmp_path / "m")]
    answer = CliRunner().invoke(app, asked)
    assert (answer.exit_code, answer.output.split()) == (0, [str(tmp_path / "m")])
    assert ModelCard.read(tmp_path / "m").method == "emoclip"


def test_files_that_are_no_state_dicts_are_refused(tmp_path) -> None:
    (tmp_path / "text.pth").write_text("hello")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, message in (
        ("text.pth", "cannot be read as a state dict"),
        ("list.pth", "expected a mapping of names to tensors"),
        ("none.pth", "no such file"),
    ):
        with pytest.raises(ConfigError, match=message):
            releases.import_weights("emoclip", tmp_path / name, tmp_path / "m")


def test_methods_without_a_release_say_so(tmp_path) -> None:
    with pytest.raises(ConfigError, match="linear has no published weights"):
        releases.import_weights("linear", tmp_path / "x.pth", tmp_path / "m")
