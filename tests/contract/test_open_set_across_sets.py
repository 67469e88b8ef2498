"""Open sets across data sets: the known clips come from one set, the unknown ones from another."""

from dataclasses import replace

import feature_world
import pytest
from feature_world import LABELS

from expressway import methods
from expressway.core.store import read_footer, read_table
from expressway.models import evaluation, training
from expressway.models.evaluation.metrics import open_set
from expressway.models.prediction import scores

OTHER = "contempt"
METHODS = [name for name in methods.names() if "open_set" in methods.get(name).protocols]


@pytest.fixture(scope="module")
def strangers(world, tmp_path_factory):
    """A second data set whose clips have the names of the first's, one class of it unknown."""
    made = feature_world.make(tmp_path_factory.mktemp("strangers"), world.backbone)
    unknown = [clip for clip in made.clips if clip.labels.get("emotion") == LABELS[0]]
    rows = [(replace(clip, labels={"emotion": OTHER}), "fold1") for clip in unknown]
    return made, rows


@pytest.mark.parametrize("name", METHODS)
def test_unknown_clips_of_another_set_are_told_apart_by_its_name(
    world, strangers, tmp_path, name
) -> None:
    model = training.train(
        world.train_spec(name, "open_set"), tmp_path / "model", tmp_path / "state"
    )
    other, rows = strangers
    known = world.predict_spec("open_set", all_labels=LABELS)
    unknown = replace(
        known, dataset="others", rows=rows, stores=other.stores, all_labels=(*LABELS, OTHER)
    )
    asked = replace(known, unknown=unknown)
    table = scores.predict(model, asked, tmp_path / "predictions.parquet")

    # the known clips' rows are those of a prediction without the other set
    alone = scores.predict(model, known, tmp_path / "alone.parquet")
    found, first = read_table(table).to_pylist(), read_table(alone).to_pylist()
    assert found[: len(first)] == first
    assert [row["clip_id"] for row in found[len(first) :]] == [f"others/{c.id}" for c, _ in rows]
    people = {row["subject"] for row in first}
    assert people.isdisjoint(row["subject"] for row in found[len(first) :])

    footer = read_footer(table)
    assert footer["unknown_labels"] == [OTHER]
    assert footer["all_labels"] == [*LABELS, OTHER]
    assert footer["unknown_from"] == "others"
    measured = evaluation.evaluate(table, tmp_path / "metrics.json")
    assert measured["openness"] == pytest.approx(open_set.openness(3, 4))
    assert measured["openness_by_share"] == pytest.approx(open_set.openness_by_share(3, 4))
    assert measured["unknown"] == len(rows)
    assert measured["known"] == sum(row["label"] is not None for row in first)
    assert measured["metrics"]["auroc"]["value"] is not None
    assert any("others" in note for note in measured["notes"])
