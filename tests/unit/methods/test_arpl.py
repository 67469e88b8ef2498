"""ARPL's numbers against the HESP specification's fixture L, and what it learns to reject."""

import numpy as np
import pytest
import torch
from feature_world import LABELS
from sklearn.metrics import roc_auc_score

from expressway import methods
from expressway.core.store import read_footer, read_table
from expressway.data.clips import Batch
from expressway.methods.base import Context
from expressway.models import training
from expressway.models.prediction import scores as prediction

KNOWN = LABELS[:2]


def fixture_l():
    """Six clips and three points of 512 dimensions, and the clips' classes."""

    def normal(seed: int, *shape: int) -> torch.Tensor:
        drawn = np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
        return 0.5 * torch.from_numpy(drawn)

    return normal(1, 6, 512), normal(2, 3, 512), torch.tensor([0, 1, 2, 0, 1, 0])


@pytest.fixture
def method(monkeypatch):
    """ARPL with the fixture's points, its clips taken as features as they are."""
    context = Context(512, ("a", "b", "c"), "open_set")
    made = methods.get("arpl")(methods.recipe("arpl", {}), context)
    made.points.data = fixture_l()[1]
    monkeypatch.setattr(made, "encode_clips", lambda batch: batch["mean"])
    return made


def batch() -> Batch:
    clips, _, labels = fixture_l()
    return Batch(tuple("123456"), {"mean": clips}, labels, torch.zeros(6, 0))


@pytest.mark.parametrize(("radius", "expected"), [(0.0, 3.539320), (0.7, 3.469321)])
def test_scores_and_loss_are_the_specifications(method, radius, expected) -> None:
    method.radius.data.fill_(radius)
    with torch.no_grad():
        scores = method.scores(batch())
        loss = sum(method.loss(batch()).values())
    # printed with six decimals; fp32 sums of 512 products
    assert scores[0].tolist() == pytest.approx([4.658471, 2.327020, -1.797615], abs=5e-6)
    assert scores.argmax(-1).tolist() == [0, 0, 0, 1, 1, 2]
    assert float(loss) == pytest.approx(expected, abs=5e-6)


def test_the_radius_rises_by_the_margins_gradient(method) -> None:
    sum(method.loss(batch()).values()).backward()
    # every clip leaves the space at first: minus the weight of the margin
    assert float(method.radius.grad) == pytest.approx(-0.1)


def test_features_are_centred_and_of_one_length() -> None:
    method = methods.get("arpl")(methods.recipe("arpl", {}), Context(512, ("a", "b"), "supervised"))
    method.begin([batch()])
    found = method.encode_clips(batch())
    assert torch.allclose(found.square().mean(-1), torch.ones(6))
    centred = fixture_l()[0] - fixture_l()[0].mean(0)
    assert torch.allclose(torch.cosine_similarity(found, centred), torch.ones(6))


def test_clips_of_an_unseen_class_look_less_known(world, tmp_path) -> None:
    spec = world.train_spec("arpl", "open_set", labels=KNOWN, recipe={"learning_rate": 0.01})
    model = training.train(spec, tmp_path / "model", tmp_path / "state")
    # training clips as well: the test part has five clips of the unknown class
    rows = [(clip, "fold1") for clip in world.clips]
    asked = world.predict_spec("open_set", rows=rows, labels=KNOWN, all_labels=LABELS)
    table = prediction.predict(model, asked, tmp_path / "predictions.parquet")
    found = [row for row in read_table(table).to_pylist() if row["label"] and row["scores"]]
    known = [row["label"] in KNOWN for row in found]
    assert roc_auc_score(known, [row["known_score"] for row in found]) > 0.8
    seen = [row for row in found if row["label"] in KNOWN]
    assert np.mean([row["label"] == row["prediction"] for row in seen]) > 0.9
    assert read_footer(table)["threshold"] is not None
