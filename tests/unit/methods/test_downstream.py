"""The downstream head: numbers with gaps, classes, scales, concordance."""

from dataclasses import replace
from typing import Any

import feature_world
import numpy as np
import pytest
import torch
from feature_world import TARGETS
from safetensors.torch import load_file

from expressway import methods
from expressway.core.errors import ConfigError
from expressway.core.model_card import ModelCard
from expressway.core.store import read_table
from expressway.data.clips import Batch
from expressway.methods.base import Context
from expressway.methods.blocks.regression import concordance, discordance, squared_errors
from expressway.methods.downstream.model import Downstream
from expressway.models import evaluation, training
from expressway.models.prediction import scores

SMALL = feature_world.SMALL["downstream"]
LEARNING = {"epochs": 40, "init_std": 0.02}


def train(world, folder, protocol: str = "regression", clips=None, **recipe: Any):
    spec = world.train_spec("downstream", protocol, recipe={**SMALL, **recipe})
    spec = replace(spec, clips=clips or spec.clips)
    return training.train(spec, folder / "model", folder / "state")


def predicted(world, model, folder) -> np.ndarray:
    """Return (clips, 2, targets): what is true and what is predicted of test clips."""
    table = scores.predict(model, world.predict_spec("regression"), folder / "p.parquet")
    rows = [row for row in read_table(table).to_pylist() if row["scores"]]
    return np.array([[row["targets"], row["scores"]] for row in rows])


@pytest.mark.parametrize("loss", ["squared_error", "concordance"])
def test_it_learns_numbers_of_different_scales(world, tmp_path, loss) -> None:
    found = predicted(world, train(world, tmp_path, loss=loss, **LEARNING), tmp_path)
    for index in range(len(TARGETS)):
        truth, guess = found[:, 0, index], found[:, 1, index]
        assert np.corrcoef(truth, guess)[0, 1] > 0.8
        # on the target's own scale
        assert abs(guess.mean() - truth.mean()) < truth.std()


def test_the_scale_of_a_target_does_not_matter(world, tmp_path) -> None:
    def scaled(clip):
        return replace(clip, targets={k: 1000 * v + 7 for k, v in clip.targets.items()})

    plain = predicted(world, train(world, tmp_path / "a"), tmp_path / "a")
    large = predicted(
        world, train(world, tmp_path / "b", clips=[scaled(c) for c in world.clips]), tmp_path / "b"
    )
    # the same steps up to the rounding of the scaled targets in fp32
    np.testing.assert_allclose(large[:, 1], 1000 * plain[:, 1] + 7, rtol=1e-3)


def test_it_learns_classes(world, tmp_path) -> None:
    model = train(world, tmp_path, "supervised", **LEARNING)
    table = scores.predict(model, world.predict_spec("supervised"), tmp_path / "p.parquet")
    found = evaluation.evaluate(table, tmp_path / "metrics.json")
    # three separable classes; chance is a third
    assert found["metrics"]["unweighted_average_recall"]["value"] > 0.6


def test_it_starts_from_a_model_of_emoclip_s(world, tmp_path, capsys) -> None:
    recipe = {k: v for k, v in SMALL.items() if k not in ("hidden", "epochs")}
    first = world.train_spec("emoclip", recipe={**recipe, "epochs": 2})
    source = training.train(first, tmp_path / "emoclip", tmp_path / "first")
    spec = world.train_spec("downstream", "regression", recipe={**SMALL, "epochs": 0})
    spec = replace(spec, start=source)
    out = training.train(spec, tmp_path / "model", tmp_path / "second")
    theirs, ours = (load_file(folder / "model.safetensors") for folder in (source, out))
    shared = {name for name in theirs if name.startswith("temporal.")}
    assert all(torch.equal(ours[name], theirs[name]) for name in shared)
    assert set(ours) - shared == {
        *(f"head.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")),
        "centre",
        "spread",
    }
    assert "not used: logit_scale" in capsys.readouterr().out
    assert ModelCard.read(out).source["start_from"] == source.as_posix()


def test_another_task_keeps_the_hidden_layer_and_measures_its_own_numbers(world, tmp_path) -> None:
    source = train(world, tmp_path / "a", "supervised")
    spec = world.train_spec("downstream", "regression", recipe={**SMALL, "epochs": 0})
    out = training.train(replace(spec, start=source), tmp_path / "b", tmp_path / "state")
    theirs, ours = (load_file(folder / "model.safetensors") for folder in (source, out))
    assert torch.equal(ours["head.0.weight"], theirs["head.0.weight"])
    assert ours["head.2.weight"].shape != theirs["head.2.weight"].shape
    targets = [clip.targets["arousal"] for clip in world.clips if "arousal" in clip.targets]
    assert min(targets) < float(ours["centre"][1]) < max(targets)


def test_the_head_is_the_release_s(world) -> None:
    made = Downstream(methods.recipe("downstream", {}), Context(512, TARGETS, "regression"))
    sizes = [tuple(value.shape) for value in made.head.parameters()]
    assert sizes == [(256, 512), (256,), (2, 256), (2,)]
    torch.manual_seed(0)
    batch = Batch(("a", "b"), {"frames": torch.randn(2, 7, 512)}, torch.zeros(2).long())
    with torch.no_grad():
        video = made.temporal(batch["frames"])
        # section 2: the summary token as it is, not of length 1
        assert torch.equal(made.encode_clips(batch), video)
        hidden = (video @ made.head[0].weight.T + made.head[0].bias).clamp_min(0)
        expected = hidden @ made.head[2].weight.T + made.head[2].bias
        torch.testing.assert_close(made.scores(batch), expected)


def test_concordance_by_hand() -> None:
    a, b = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([2.0, 2.0, 4.0, 4.0])
    # covariance 1, variances 1.25 and 1, means 2.5 and 3
    assert float(concordance(a, b)) == pytest.approx(2 / (1.25 + 1 + 0.25 + 1e-5), rel=1e-6)
    assert float(concordance(a, a)) == pytest.approx(1, abs=1e-5)


def test_what_a_clip_lacks_counts_nowhere() -> None:
    nan = float("nan")
    guess = torch.tensor([[1.0, 0.0], [2.0, 5.0], [4.0, 1.0]], requires_grad=True)
    truth = torch.tensor([[2.0, nan], [2.0, nan], [nan, 3.0]])
    assert squared_errors(guess, truth).tolist() == [0.5, 4.0]
    # of the second target only one clip is known: a correlation of one point says nothing
    expected = 1 - concordance(guess[:2, 0], truth[:2, 0])
    torch.testing.assert_close(discordance(guess, truth), expected)
    (squared_errors(guess, truth).sum() + discordance(guess, truth)).backward()
    assert torch.isfinite(guess.grad).all()
    assert guess.grad[0, 1] == guess.grad[2, 0] == 0
    none = torch.full((3, 2), nan)
    assert discordance(guess, none).item() == squared_errors(guess, none).sum().item() == 0


def test_a_target_that_no_clip_has_is_named(world, tmp_path) -> None:
    spec = world.train_spec("downstream", "regression", targets=("valence", "dominance"))
    with pytest.raises(ConfigError, match="no training clip has a number for dominance"):
        training.train(spec, tmp_path / "model", tmp_path / "state")


def test_a_tuned_image_tower(world, tmp_path) -> None:
    model = train(world, tmp_path, tune="visual", epochs=1)
    names = {name.split(".")[0] for name in load_file(model / "model.safetensors")}
    assert names == {"temporal", "head", "visual", "centre", "spread"}
    assert np.isfinite(predicted(world, model, tmp_path)[:, 1]).all()
    with pytest.raises(ConfigError, match="tune"):
        methods.recipe("downstream", {"tune": "visual_text"})
