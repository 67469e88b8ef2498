"""metrics.json and comparisons, from predictions tables written as prediction writes them."""

import json
import subprocess
import sys

import pyarrow as pa
import pytest

from expressway.core.errors import ConfigError, StoreError
from expressway.core.store import write_table
from expressway.models import evaluation

LABELS = ["happiness", "anger", "fear"]
FOOTER = {
    "model": "m", "method": "clip", "split": "all", "seed": 0, "evaluation": "names",
    "protocol": "zero_shot", "dataset": "demo", "task": "emotion", "prompts": "names",
    "labels": LABELS, "parameters": {"trainable": 0, "total": 10}, "selection": "last epoch",
}  # fmt: skip


def table(path, rows, **footer):
    """Rows: (clip, subject, split, label, prediction or None, status)."""
    scores = {label: [float(label == other) for other in LABELS] for label in LABELS}
    content = [
        {
            "clip_id": clip, "subject": subject, "split": split, "label": label,
            "prediction": guess, "scores": scores.get(guess), "status": status,
        }
        for clip, subject, split, label, guess, status in rows
    ]  # fmt: skip
    write_table(path, pa.Table.from_pylist(content), {**FOOTER, **footer})
    return path


ROWS = [
    ("a", "s1", "fold1", "happiness", "happiness", "ok"),
    ("b", "s1", "fold1", "happiness", "anger", "ok"),
    ("c", "s2", "fold1", "anger", "anger", "ok"),
    ("d", "s2", "fold2", "anger", "anger", "ok"),
    ("e", "s3", "fold2", "anger", None, "no_face"),
    ("f", "s3", "fold2", None, "fear", "ok"),
]


def test_metrics_of_a_small_table(tmp_path) -> None:
    found = evaluation.evaluate(table(tmp_path / "p.parquet", ROWS), tmp_path / "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text())["clips"] == 5
    assert found["metrics"]["unweighted_average_recall"]["value"] == pytest.approx(0.75)
    assert found["metrics"]["weighted_average_recall"]["value"] == pytest.approx(0.75)
    assert found["per_class_recall"] == {"happiness": 0.5, "anger": 1.0, "fear": None}
    assert found["confusion_matrix"] == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert found["class_counts"] == {"happiness": 2, "anger": 3, "fear": 0}
    assert (found["missing"], found["missing_by_status"]) == (1, {"no_face": 1})
    assert found["unlabelled"] == 1
    # with the lost clip as an error: (1/2 + 2/3) / 2
    strict = found["missing_counted_as_wrong"]
    assert strict["unweighted_average_recall"] == pytest.approx(7 / 12)
    notes = " ".join(found["notes"])
    assert "no clip of fear" in notes
    assert "1 no_face" in notes
    assert {key: found[key] for key in ("model", "labels", "parameters", "selection")} == {
        key: FOOTER[key] for key in ("model", "labels", "parameters", "selection")
    }


def test_a_table_without_labels_says_so(tmp_path) -> None:
    rows = [("a", None, "all", None, "fear", "ok")]
    with pytest.raises(StoreError, match="none of 1 clips has a label among happiness"):
        evaluation.evaluate(table(tmp_path / "p.parquet", rows), tmp_path / "metrics.json")


def test_a_table_without_any_prediction_has_null_metrics(tmp_path) -> None:
    rows = [("a", "s", "all", "fear", None, "no_face"), ("b", "s", "all", "fear", None, "timeout")]
    found = evaluation.evaluate(table(tmp_path / "p.parquet", rows), tmp_path / "metrics.json")
    assert found["metrics"]["unweighted_average_recall"]["value"] is None
    assert found["per_class_recall"]["fear"] is None
    assert json.loads((tmp_path / "metrics.json").read_text())["missing"] == 2


def test_folds_are_pooled_and_compared_with_one_table_of_all(tmp_path) -> None:
    guesses = {"a": "happiness", "b": "happiness", "c": "anger", "d": "anger"}
    folds = [
        table(
            tmp_path / f"{fold}.parquet",
            [(*row[:4], guesses[row[0]], "ok") for row in ROWS[:4] if row[2] == fold],
            model="trained",
        )
        for fold in ("fold1", "fold2")
    ]
    whole = table(tmp_path / "all.parquet", ROWS)
    [found] = evaluation.compare(folds, [whole], tmp_path / "c.json")
    [written] = json.loads((tmp_path / "c.json").read_text())
    assert written["interval_clips"] == list(found["interval_clips"])
    assert written["difference"] == found["difference"]
    assert (found["a"], found["b"], found["clips"]) == ("trained/names", "m/names", 4)
    assert (found["value_a"], found["value_b"]) == (1.0, 0.75)
    assert found["difference"] == pytest.approx(0.25)
    assert found["splits"] == {"fold1": 0.25, "fold2": 0.0}


def test_seeds_of_one_model_count_by_their_share(tmp_path) -> None:
    right = table(tmp_path / "1.parquet", [("a", "s", "x", "fear", "fear", "ok")])
    wrong = table(tmp_path / "2.parquet", [("a", "s", "x", "fear", "anger", "ok")], seed=1)
    [found] = evaluation.compare([right, wrong], [wrong], tmp_path / "c.json")
    assert found["difference"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("rows", "footer", "message"),
    [
        (ROWS, {"labels": [*LABELS, "disgust"]}, "cannot be compared"),
        ([("z", "s", "fold1", "fear", "fear", "ok")], {}, "share no clip"),
        ([("a", "s1", "fold1", "fear", "fear", "ok")], {}, "clip a has another label"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, rows, footer, message) -> None:
    first = table(tmp_path / "a.parquet", ROWS)
    second = table(tmp_path / "b.parquet", rows, **footer)
    with pytest.raises(ConfigError, match=message):
        evaluation.compare([first], [second], tmp_path / "c.json")


def test_evaluation_loads_no_torch() -> None:
    code = "import expressway.models.evaluation, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
