"""start_from: what fits is taken, what does not is named, nothing is taken silently."""

from dataclasses import replace

import feature_world
import pytest
import torch
from safetensors.torch import load_file

from expressway.core.errors import ConfigError
from expressway.core.fingerprints import file_digest
from expressway.core.model_card import WEIGHTS, ModelCard
from expressway.models import training

SMALL = {**feature_world.SMALL["emoclip"], "epochs": 1}
HEAD = {key: SMALL[key] for key in ("depth", "heads", "head_dim", "mlp_dim", "frames",
                                    "position_rows", "batch_size")} | {"epochs": 0}  # fmt: skip


@pytest.fixture(scope="module")
def first(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    return training.train(world.train_spec("emoclip", recipe=SMALL), folder / "m", folder / "s")


def head(world, start, **changes):
    recipe = {**HEAD, **changes.pop("recipe", {})}
    return world.train_spec("downstream", "supervised", recipe=recipe, start=start, **changes)


def test_a_head_starts_from_a_video_encoder(world, first, tmp_path, capsys) -> None:
    out = training.train(head(world, first), tmp_path / "out", tmp_path / "state")
    given, got = load_file(first / WEIGHTS), load_file(out / WEIGHTS)
    shared = given.keys() & got.keys()
    assert shared
    assert all(name.startswith("temporal.") for name in shared)
    assert all(torch.equal(given[name], got[name]) for name in shared)
    told = capsys.readouterr().out
    assert f"starting from {first}: {len(shared)} tensors; new here: " in told
    assert "head.0.weight" in told
    assert "not used: logit_scale" in told
    assert ModelCard.read(out).source == {
        "start_from": first.as_posix(),
        "sha256": file_digest(first / WEIGHTS),
    }


def test_the_same_method_goes_on_with_everything(world, first, tmp_path, capsys) -> None:
    spec = world.train_spec("emoclip", "supervised", recipe={**SMALL, "epochs": 0}, start=first)
    out = training.train(spec, tmp_path / "out", tmp_path / "state")
    assert "new here: nothing; not used: nothing" in capsys.readouterr().out
    given, got = load_file(first / WEIGHTS), load_file(out / WEIGHTS)
    assert given.keys() == got.keys()
    assert all(torch.equal(given[name], got[name]) for name in given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": {"depth": 1, "mlp_dim": 12}}, r"other shapes: temporal\.blocks\.0\.mlp"),
        ({"start": "nowhere"}, "no model here"),
    ],
)
def test_what_does_not_fit_is_refused(world, first, tmp_path, changes, message) -> None:
    start = tmp_path / changes.pop("start") if "start" in changes else first
    with pytest.raises(ConfigError, match=message):
        training.train(head(world, start, **changes), tmp_path / "out", tmp_path / "state")


def test_a_model_with_nothing_in_common_is_refused(world, first, tmp_path) -> None:
    spec = world.train_spec("linear", "supervised", start=first)
    with pytest.raises(ConfigError, match="has no tensor that this method could start from"):
        training.train(spec, tmp_path / "out", tmp_path / "state")


def test_a_method_may_limit_what_it_takes(world, first, tmp_path, monkeypatch, capsys) -> None:
    from expressway.methods.emoclip.model import EmoCLIP

    monkeypatch.setattr(EmoCLIP, "inherits", ("logit_scale",))
    spec = world.train_spec("emoclip", recipe={**SMALL, "epochs": 0}, start=first)
    training.train(spec, tmp_path / "out", tmp_path / "state")
    assert "1 tensors; new here: temporal." in capsys.readouterr().out


def test_another_backbone_is_refused(world, first, tmp_path) -> None:
    other = feature_world.write_backbone(tmp_path / "backbone", seed=1)
    with pytest.raises(ConfigError, match="start from a model with the same backbone"):
        training.train(
            replace(head(world, first), backbone=other), tmp_path / "out", tmp_path / "state"
        )


def test_state_of_another_start_is_not_taken_up(world, first, tmp_path, capsys) -> None:
    recipe = {**SMALL, "epochs": 3}
    spec = world.train_spec("emoclip", recipe=recipe)

    with pytest.MonkeyPatch.context() as patch:
        from expressway.models.training.loop import Loop

        original = Loop.on_train_epoch_start

        def dying(self):
            if self.current_epoch == 2:
                raise KeyError
            original(self)

        patch.setattr(Loop, "on_train_epoch_start", dying)
        with pytest.raises(KeyError):
            training.train(spec, tmp_path / "out", tmp_path / "state", checkpoint_seconds=0)
    training.train(replace(spec, start=first), tmp_path / "out", tmp_path / "state")
    assert "from another recipe or other data" in capsys.readouterr().out
