"""Recall of the class that training never saw, among all classes."""

import pytest

from expressway.core.errors import StoreError
from expressway.models import evaluation
from expressway.models.evaluation.protocols import leave_one_out

LABELS = ["happiness", "anger", "fear"]
FOOTER = {"protocol": "leave_one_out", "labels": LABELS, "all_labels": LABELS}
ROWS = [("happiness", "happiness"), ("happiness", "fear"), ("anger", "anger"), ("anger", "anger"),
        ("fear", "fear"), ("fear", "anger"), ("fear", "anger"), ("fear", None)]  # fmt: skip


def rows_of(pairs):
    return [
        {"clip_id": f"c{i}", "subject": f"s{i % 3}", "label": truth, "prediction": guess,
         "status": "ok" if guess else "no_face"}
        for i, (truth, guess) in enumerate(pairs)
    ]  # fmt: skip


def without(write, label, pairs=ROWS, **facts):
    footer = {**FOOTER, "split": f"without-{label}", "held_out": [label], **facts}
    return write(f"{facts.get('model', 'm')}{label}", rows_of(pairs), **footer)


def test_held_out_recall_and_the_recalls_of_the_others(write, tmp_path) -> None:
    found = evaluation.evaluate(without(write, "fear"), tmp_path / "m.json")
    metrics = found["metrics"]
    assert set(metrics) == set(leave_one_out.METRICS)
    assert metrics["held_out_recall"]["value"] == pytest.approx(1 / 3)
    assert metrics["seen_unweighted_average_recall"]["value"] == pytest.approx((0.5 + 1) / 2)
    low, high = metrics["held_out_recall"]["interval_clips"]
    assert low <= 1 / 3 <= high
    strict = found["missing_counted_as_wrong"]
    assert strict["held_out_recall"] == pytest.approx(1 / 4)
    assert found["confusion_matrix"] == [[1, 0, 1], [0, 2, 0], [0, 2, 1]]


def test_a_held_out_class_without_clips_is_null_with_a_reason(write, tmp_path) -> None:
    path = without(write, "fear", [pair for pair in ROWS if pair[0] != "fear"])
    entry = evaluation.evaluate(path, tmp_path / "m.json")["metrics"]["held_out_recall"]
    assert entry["value"] is None
    assert entry["reason"] == "no clip of fear has a prediction"


def test_a_model_that_saw_all_classes_is_refused(write, tmp_path) -> None:
    path = write("p", rows_of(ROWS), **FOOTER)
    with pytest.raises(StoreError, match="no class of happiness, anger, fear was held out"):
        evaluation.evaluate(path, tmp_path / "m.json")


def test_comparison_averages_over_held_out_classes(write, tmp_path) -> None:
    right = [(truth, truth) for truth, _ in ROWS]
    better = [without(write, label, right, model="a") for label in ("fear", "anger")]
    worse = [without(write, label, model="b") for label in ("fear", "anger")]
    found = evaluation.compare(better, worse, tmp_path / "c.json")
    held_out = found[0]
    assert held_out["metric"] == "held_out_recall"
    # the clip that b lost counts for neither side
    assert held_out["value_b"] == pytest.approx((1 / 3 + 1) / 2)
    assert held_out["splits"] == {
        "without-fear": pytest.approx(2 / 3),
        "without-anger": pytest.approx(0),
    }
    assert held_out["difference"] == pytest.approx(1 / 3)
