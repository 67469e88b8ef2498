"""EmoCLIP's loss with repeated texts, and what its protocols train on and ask for."""

import math

import feature_world
import numpy as np
import pytest
import torch
from feature_world import DIM, LABELS
from scipy.special import log_softmax

from expressway import methods
from expressway.core.model_card import ModelCard
from expressway.core.store import read_footer, read_table
from expressway.data.clips import Batch
from expressway.methods.base import Context
from expressway.methods.emoclip.model import EmoCLIP
from expressway.models import evaluation, training
from expressway.models.prediction import scores

SMALL = feature_world.SMALL["emoclip"]


def model(protocol: str = "supervised", **recipe) -> EmoCLIP:
    torch.manual_seed(0)
    made = EmoCLIP(methods.recipe("emoclip", {**SMALL, **recipe}), Context(DIM, LABELS, protocol))
    made.text_features, made.text_owner = torch.eye(3, DIM), torch.arange(3)
    return made


def batch(labels: list[int], frames: torch.Tensor | None = None) -> Batch:
    torch.manual_seed(1)
    inputs = {"frames": torch.randn(len(labels), 6, DIM) if frames is None else frames}
    ids = tuple(str(index) for index in range(len(labels)))
    return Batch(ids, inputs, torch.tensor(labels))


@pytest.mark.parametrize("soft", [False, True])
def test_repeated_texts_repel_or_share_the_target(soft) -> None:
    made, given = model(soft_targets=soft), batch([0, 1, 0, 2, 0, 1])
    with torch.no_grad():
        logits = (made.scores(given)[:, given.labels]).double().numpy()
        found = made.loss(given)["contrastive"].item()
    same = np.equal.outer(given.labels.numpy(), given.labels.numpy())
    target = same / same.sum(1, keepdims=True) if soft else np.eye(6)
    both = [-(target * log_softmax(side, axis=1)).sum(1).mean() for side in (logits, logits.T)]
    # fp32 logits of about 100
    assert found == pytest.approx(np.mean(both), rel=1e-4)


def test_with_class_texts_the_loss_cannot_fall_below_the_share_of_a_class(monkeypatch) -> None:
    labels = [0, 1, 2] * 4
    made = model()
    monkeypatch.setattr(made, "encode_clips", lambda given: torch.eye(3, DIM)[given.labels])
    loss = made.loss(batch(labels))["contrastive"].item()
    # perfect vectors: ln(B / C), section 3
    assert loss == pytest.approx(math.log(12 / 3), rel=1e-5)


def test_captions_that_are_equal_share_a_number(world) -> None:
    made = model("zero_shot")
    row = {"texts": ["a smile", "a smile"], "embeddings": np.zeros((2, DIM), np.float16)}
    other = {"texts": ["a frown"], "embeddings": np.zeros((1, DIM), np.float16)}
    first, second, third = (
        made._caption(each, np.random.default_rng(seed))["text_id"]
        for each, seed in ((row, 0), (row, 1), (other, 0))
    )
    assert first == second != third


def test_a_left_out_class_is_asked_for_but_never_trained_on(world, tmp_path) -> None:
    seen = ("happiness", "sadness")
    spec = world.train_spec("emoclip", "leave_one_out", labels=seen, recipe={**SMALL, "epochs": 20})
    out = training.train(spec, tmp_path / "model", tmp_path / "state")
    card = ModelCard.read(out)
    # of the 36 training clips 24 are of these classes, and one of them shows no face
    assert (card.labels, card.clips["trained"]) == (seen, 23)
    asked = world.predict_spec("leave_one_out", all_labels=LABELS)
    table = scores.predict(out, asked, tmp_path / "p.parquet")
    assert read_footer(table)["held_out"] == ["anger"]
    rows = [row for row in read_table(table).to_pylist() if row["scores"]]
    assert {len(row["scores"]) for row in rows} == {3}
    found = evaluation.evaluate(table, tmp_path / "metrics.json")["metrics"]
    # its two classes are separable; chance among three is a third
    assert found["seen_unweighted_average_recall"]["value"] > 0.5


def test_unknown_clips_are_scored_by_the_texts_of_known_classes(world, tmp_path) -> None:
    seen = ("happiness", "sadness")
    spec = world.train_spec("emoclip", "open_set", labels=seen, recipe={**SMALL, "epochs": 20})
    out = training.train(spec, tmp_path / "model", tmp_path / "state")
    card = ModelCard.read(out)
    asked = world.predict_spec("open_set", labels=seen, all_labels=LABELS)
    table = scores.predict(out, asked, tmp_path / "p.parquet")
    rows = [row for row in read_table(table).to_pylist() if row["scores"]]
    assert len(rows) == 11
    assert all(row["known_score"] == max(row["scores"]) for row in rows)
    assert {row["prediction"] for row in rows} <= set(seen)
    assert card.threshold is not None
    assert read_footer(table)["unknown_labels"] == ["anger"]
