"""The linear probe's numbers and confidence of the known classes against scikit-learn and numpy."""

import numpy as np
import pytest
from feature_world import TARGETS
from safetensors.torch import load_file
from sklearn.linear_model import Ridge

from expressway.core.errors import ConfigError
from expressway.core.model_card import ModelCard
from expressway.core.store import Store, read_table
from expressway.methods.blocks.frames import frame_mean
from expressway.models import training
from expressway.models.prediction import scores as prediction

DECAY = 0.05


def train(world, folder, protocol: str, **recipe):
    spec = world.train_spec("linear", protocol, recipe={"epochs": 15, **recipe})
    return training.train(spec, folder / "model", folder / "state")


def means(world, clips) -> np.ndarray:
    store = Store(world.stores["visual_features"])
    return np.stack([frame_mean(store.row(clip.id)).numpy() for clip in clips])


def test_numbers_are_ridge_regression(world, tmp_path) -> None:
    weights = load_file(
        train(world, tmp_path, "regression", weight_decay=DECAY) / "model.safetensors"
    )
    store = Store(world.stores["visual_features"])
    usable = [c for c in world.clips if world.parts[c.id] == "train" and store.usable(c.id)]
    features = means(world, [clip for clip in usable if clip.targets])
    for index, name in enumerate(TARGETS):
        clips = [clip for clip in usable if name in clip.targets]
        # standardised over all clips that have some number, fitted on those that have this one
        x = (means(world, clips) - features.mean(0)) / features.std(0)
        y = [clip.targets[name] for clip in clips]
        reference = Ridge(alpha=DECAY * len(clips)).fit(x, y)
        # L-BFGS in fp32 stops at gradients of 1e-7 times the targets' scale (60 and 0.4)
        scale = np.std(y)
        found = weights["head.weight"][index].numpy() / scale
        np.testing.assert_allclose(found, reference.coef_ / scale, atol=2e-3)
        bias = float(weights["head.bias"][index])
        assert abs(bias - reference.intercept_) < 2e-3 * scale


def test_the_loss_that_is_told_is_that_of_the_weights(world, tmp_path) -> None:
    told = [
        sum(row[term] for term in ("squared_error", "penalty"))
        for row in ModelCard.read(train(world, tmp_path, "regression")).history
    ]
    # one evaluation a round, the one at its start, however often the line search asks
    # it falls, but for the rounding of fp32 sums once it has settled
    assert (np.diff(told) <= 1e-6 * np.array(told[:-1])).all()
    spread = [np.var([c.targets[t] for c in world.clips if t in c.targets]) for t in TARGETS]
    # zeros at first: half the mean squares, no less than half the variances
    assert told[0] > 0.9 * sum(spread) / 2 > told[-1]


def test_predicted_numbers_are_written_beside_the_true_ones(world, tmp_path) -> None:
    model = train(world, tmp_path, "regression")
    assert ModelCard.read(model).targets == TARGETS
    table = prediction.predict(model, world.predict_spec("regression"), tmp_path / "p.parquet")
    rows = {row["clip_id"]: row for row in read_table(table).to_pylist()}
    clips = [clip for clip in world.clips if rows.get(clip.id, {}).get("scores")]
    truth = np.array([rows[clip.id]["targets"] for clip in clips])
    guess = np.array([rows[clip.id]["scores"] for clip in clips])
    assert guess.shape == truth.shape == (len(clips), len(TARGETS))
    # the class has a direction of its own and decides the numbers
    assert np.corrcoef(truth[:, 0], guess[:, 0])[0, 1] > 0.9


@pytest.mark.parametrize("rule", ["max_softmax", "max_logit"])
def test_how_known_a_clip_looks(world, tmp_path, rule) -> None:
    model = train(world, tmp_path, "open_set", known_score=rule)
    table = prediction.predict(model, world.predict_spec("open_set"), tmp_path / "p.parquet")
    rows = [row for row in read_table(table).to_pylist() if row["scores"]]
    scores = np.array([row["scores"] for row in rows])
    odds = np.exp(scores - scores.max(1, keepdims=True))
    expected = {
        "max_softmax": (odds / odds.sum(1, keepdims=True)).max(1),
        "max_logit": scores.max(1),
    }
    # one fp32 softmax against one in fp64
    np.testing.assert_allclose([r["known_score"] for r in rows], expected[rule], rtol=1e-5)


def test_a_target_that_no_clip_has_is_named(world, tmp_path) -> None:
    spec = world.train_spec("linear", "regression", targets=("valence", "dominance"))
    with pytest.raises(ConfigError, match="no training clip has a number for dominance"):
        training.train(spec, tmp_path / "model", tmp_path / "state")
