"""From training to metrics.json under the protocols that measure more than recalls."""

import pytest
from built_methods import ALL
from feature_world import LABELS, TARGETS

from expressway import evaluation, methods, prediction, training

SEEN, UNSEEN = LABELS[:2], LABELS[2]
# what a protocol's headline numbers are called; a method's page may rely on them
HEADLINE = {
    "open_set": ("auroc", "oscr", "accuracy"),
    "leave_one_out": ("held_out_recall", "seen_unweighted_average_recall"),
    "regression": ("concordance_correlation", "pearson_correlation", "mean_absolute_error"),
}
MEASURED = [(name, protocol) for name, protocol in ALL if protocol in HEADLINE]


def results(world, folder, name, protocol):
    """Train on two of three classes, or on numbers, and evaluate on all clips."""
    classes = {} if protocol == "regression" else {"labels": SEEN}
    spec = world.train_spec(name, protocol, **classes)
    model = training.train(spec, folder / "model", folder / "state")
    answers = {} if protocol != "open_set" else {"labels": SEEN}
    rows = [(clip, "fold1") for clip in world.clips]
    asked = world.predict_spec(protocol, rows=rows, all_labels=LABELS, **answers)
    table = prediction.predict(model, asked, folder / "predictions.parquet")
    return evaluation.evaluate(table, folder / "metrics.json")


@pytest.mark.parametrize(("name", "protocol"), MEASURED)
def test_headline_numbers_are_finite(world, tmp_path, name, protocol) -> None:
    found = results(world, tmp_path, name, protocol)
    for metric in HEADLINE[protocol]:
        entry = found["metrics"][metric]
        assert entry["value"] is not None, entry
        assert entry["interval_subjects"][0] <= entry["value"] <= entry["interval_subjects"][1]
    assert found["missing_by_status"]["no_face"] >= 1
    if protocol == "open_set":
        assert (found["known"], found["unknown"]) == (32, 15)
        trained = methods.get(name).trained
        assert ("accuracy_with_rejection" in found["metrics"]) == trained
    if protocol == "leave_one_out":
        assert found["held_out"] == [UNSEEN]
    if protocol == "regression":
        assert set(found["per_target"]) == set(TARGETS)
