"""Importing HESP's release: state dicts in its layout become a usable model."""

from pathlib import Path

import pytest
import torch

from expressway.core.errors import ConfigError
from expressway.core.model_card import ModelCard
from expressway.core.store import read_table
from expressway.methods import releases
from expressway.methods.blocks.prompts import token_embedding
from expressway.models.prediction import scores
from expressway.networks import backbones

State = dict[str, torch.Tensor]
# in the order of their texts; their numbers are 3, 5, 6
NAMES = ("happy", "sad", "surprise")
TOKENS = 16


@pytest.fixture(scope="module")
def network(world) -> State:
    """The prompt module with the whole CLIP in it, in half precision as on a GPU."""
    backbone = backbones.load(world.backbone)
    ids = backbone.tokenize([f"{name}." for name in NAMES])[:, : 77 - TOKENS]
    vectors = token_embedding(backbone.model)(ids)
    torch.manual_seed(0)
    state = {f"clip.{name}": value for name, value in backbone.model.state_dict().items()}
    state |= {
        "prompts.ctx": 0.02 * torch.randn(3, TOKENS, 8),
        "prompts.token_prefix": vectors[:, :1],
        "prompts.token_suffix": vectors[:, 1:],
        "pixels.delta": 0.1 * torch.randn(3, 8, 8),
        "fc.weight": torch.randn(3, 16),
        "fc.bias": torch.randn(3),
    }
    extra = {"clip.input_resolution": torch.tensor(32)}
    return {f"module.{name}": value.half() for name, value in state.items()} | {
        f"module.{name}": value for name, value in extra.items()
    }


@pytest.fixture(scope="module")
def criterion() -> State:
    torch.manual_seed(1)
    return {
        "points": torch.randn(3, 3, 32, 32),
        "radius": torch.tensor([0.25]),
        "Dist.centers": torch.randn(3, 16),
        "unknown_p_t": torch.randn(3, 77, 8),
    }


@pytest.fixture
def file(tmp_path: Path, network: State, criterion: State) -> Path:
    torch.save(network, tmp_path / "net.pth")
    torch.save(criterion, tmp_path / "net_criterion.pth")
    return tmp_path / "net.pth"


def test_a_release_predicts_through_the_workflow(world, file, network, criterion, tmp_path) -> None:
    out = releases.import_weights("hesp", file, tmp_path / "m")
    card = ModelCard.read(out)
    assert card.labels == ("happiness", "sadness", "surprise")
    assert card.recipe == {"published": True, "context_tokens": TOKENS}
    spec = world.predict_spec("open_set", labels=card.labels, prompts={})
    method = scores.load(out, card, spec)
    kept = method.state_dict()
    assert torch.equal(kept["contexts.context"], network["module.prompts.ctx"].float())
    assert torch.equal(kept["negative_images"], criterion["points"])
    assert kept["radius"].item() == 0.25
    # the release does not say where the patch was
    assert kept["position"].tolist() == [16, 16]
    assert "middle" in card.source["position"]
    table = read_table(scores.predict(out, spec, tmp_path / "p.parquet")).to_pylist()
    assert {row["prediction"] for row in table if row["status"] == "ok"} <= set(card.labels)


def test_the_texts_are_those_that_the_release_was_trained_with(world, file, tmp_path) -> None:
    out = releases.import_weights("hesp", file, tmp_path / "m", world.backbone)
    card = ModelCard.read(out)
    assert card.backbone["model"] == world.backbone
    method = scores.load(out, card, world.predict_spec("open_set", labels=card.labels))
    backbone = method.backbone
    written = backbone.tokenize([f"{name}." for name in NAMES])[:, 1 : 77 - TOKENS]
    expected = token_embedding(backbone.model)(written)
    assert torch.equal(method.contexts.fixed[:, 1 + TOKENS :], expected)


def test_labels_follow_the_numbers_and_texts_the_alphabet(
    world, network, criterion, tmp_path
) -> None:
    """Sad is 5 and disappointment 10, but the texts are sorted by name."""
    backbone = backbones.load(world.backbone)
    ids = backbone.tokenize(["disappointment.", "sad.", "surprise."])[:, : 77 - TOKENS]
    changed = token_embedding(backbone.model)(ids)[:, 1:]
    state = {**network, "module.prompts.token_suffix": changed, **criterion}
    torch.save(state, tmp_path / "one.pth")
    card = ModelCard.read(releases.import_weights("hesp", tmp_path / "one.pth", tmp_path / "m"))
    assert card.labels == ("sadness", "surprise", "disappointment")
    method = scores.load(
        tmp_path / "m", card, world.predict_spec("open_set", labels=card.labels, prompts={})
    )
    # the first column is labelled sadness, its text is disappointment's: section 8
    assert method._names() == ["disappointment", "sad", "surprise"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n, c: n.pop("module.prompts.ctx"), "missing, or there twice: ctx"),
        (lambda n, c: n.pop("module.pixels.delta"), "twice: patch"),
        (lambda n, c: c.pop("radius"), "twice: radius"),
        (lambda n, c: c.update(second=torch.zeros(3, 3, 32, 32)), "twice: negative images"),
        (lambda n, c: n.update(head=torch.zeros(2)), "twice: none; unexpected: head"),
        (lambda n, c: n.pop("module.clip.visual.conv1.weight"), "unexpected: clip"),
        (
            lambda n, c: n.update({"module.prompts.token_suffix": torch.randn(3, 60, 8)}),
            "class names read back",
        ),
    ],
)  # fmt: skip
def test_wrong_files_are_refused_by_name(network, criterion, tmp_path, change, message) -> None:
    first, second = dict(network), dict(criterion)
    change(first, second)
    torch.save(first, tmp_path / "net.pth")
    torch.save(second, tmp_path / "net_criterion.pth")
    with pytest.raises(ConfigError, match=message):
        releases.import_weights("hesp", tmp_path / "net.pth", tmp_path / "m")
    assert not (tmp_path / "m/model.json").exists()


def test_the_criterion_s_file_is_asked_for(network, tmp_path) -> None:
    torch.save(network, tmp_path / "net.pth")
    with pytest.raises(ConfigError, match=r"_criterion\.pth beside it"):
        releases.import_weights("hesp", tmp_path / "net.pth", tmp_path / "m")
    with pytest.raises(ConfigError, match="no such file; expected a HESP checkpoint"):
        releases.import_weights("hesp", tmp_path / "none.pth", tmp_path / "m")
