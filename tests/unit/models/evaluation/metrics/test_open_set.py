"""Knownness: against scikit-learn and torchmetrics, at the edges, and from tables."""

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torchmetrics.functional.classification import binary_auroc

from expressway.core.errors import ConfigError, StoreError
from expressway.core.store import read_footer
from expressway.models import evaluation
from expressway.models.evaluation import bootstrap
from expressway.models.evaluation.metrics import open_set
from expressway.models.evaluation.protocols import open_set as open_set_tables

KNOWN, UNKNOWN = ["happiness", "anger"], ["fear", "contempt"]
FOOTER = {
    "protocol": "open_set", "split": "open-00", "labels": KNOWN,
    "all_labels": [*KNOWN, *UNKNOWN], "unknown_labels": UNKNOWN, "threshold": None,
}  # fmt: skip


def scores(seed: int, clips: int = 300, digits: int = 2):
    random = np.random.default_rng(seed)
    known = random.normal(0.8, 1, clips).round(digits)
    return (
        known,
        (random.random(clips) < 0.6).astype(float),
        random.normal(0, 1, clips // 2).round(digits),
    )


def rows_of(known, right, unknown, subjects=10):
    """Rows of happiness, guessed as such where right, and of fear."""
    rows = [
        {"label": "happiness", "prediction": KNOWN[0] if hit else KNOWN[1], "known_score": score}
        for score, hit in zip(known, right, strict=True)
    ]
    rows += [{"label": "fear", "prediction": "anger", "known_score": score} for score in unknown]
    return [
        {"clip_id": f"c{i:04d}", "subject": f"s{i % subjects}", **row} for i, row in enumerate(rows)
    ]


@pytest.mark.parametrize("digits", [0, 1, 8])
def test_auroc_agrees_with_scikit_learn_and_torchmetrics(digits) -> None:
    known, _, unknown = scores(0, digits=digits)
    truth = np.repeat([1, 0], [len(known), len(unknown)])
    both = np.concatenate([known, unknown])
    found = open_set.auroc(open_set.curve(known, unknown))
    assert found == pytest.approx(roc_auc_score(truth, both), abs=1e-12)
    # torchmetrics puts scores outside [0, 1] through a sigmoid in float32
    squashed = torch.from_numpy(
        np.argsort(np.argsort(np.unique(both)))[np.unique(both, return_inverse=True)[1]] / len(both)
    )
    assert found == pytest.approx(float(binary_auroc(squashed, torch.from_numpy(truth))), abs=1e-6)


def test_oscr_of_right_clips_only_is_auroc_and_is_bounded_by_accuracy() -> None:
    known, right, unknown = scores(1)
    auroc = open_set.auroc(open_set.curve(known, unknown))
    assert open_set.oscr(known, np.ones_like(right), unknown) == pytest.approx(auroc, abs=1e-12)
    found = open_set.oscr(known, right, unknown)
    assert found <= min(auroc, right.mean())
    # the releases' rule is lower by half the unknowns below a correct known, over all pairs
    assert 0 <= found - open_set.oscr_upstream(known, right, unknown) < 0.02


def test_oscr_is_the_share_of_pairs() -> None:
    known, right, unknown = scores(2, clips=40, digits=1)
    pairs = [
        r * ((k > u) + 0.5 * (k == u)) for k, r in zip(known, right, strict=True) for u in unknown
    ]
    assert open_set.oscr(known, right, unknown) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_constant_scores_have_defined_values() -> None:
    found = open_set.curve(np.zeros(10), np.zeros(5))
    values = {name: number(found) for name, number in open_set.DETECTION.items()}
    assert (values["auroc"], values["tnr_at_tpr95"], values["dtacc"]) == (0.5, 0.0, 0.5)
    assert open_set.oscr(np.zeros(10), np.ones(10), np.zeros(5)) == 0.5
    assert all(np.isfinite(v) for v in values.values())


def test_perfect_scores_are_perfect() -> None:
    found = open_set.curve(np.arange(100.0, 200), np.arange(100.0))
    values = {name: number(found) for name, number in open_set.DETECTION.items()}
    assert (values["auroc"], values["tnr_at_tpr95"], values["dtacc"]) == (1, 1, 1)
    # by the releases' rule precision falls to 0 with recall: half of the last step is lost
    assert values["auin"] == values["auout"] == pytest.approx(1 - 1 / 200)


@pytest.mark.parametrize("metric", ["auroc", "oscr"])
@pytest.mark.parametrize("digits", [0, 8])
def test_the_resampled_form_is_the_plain_one(write, metric, digits) -> None:
    known, right, unknown = scores(3, clips=60, digits=digits)
    found = open_set_tables.read(write("p", rows_of(known, right, unknown), **FOOTER))
    group = open_set_tables.group(found, metric)
    times = np.random.default_rng(0).multinomial(90, [1 / 90] * 90, size=5).astype(float)
    expected = []
    for one in times.astype(int):
        k, r, u = (np.repeat(v, n) for v, n in (
            (known, one[:60]), (right, one[:60]), (unknown, one[60:])))  # fmt: skip
        plain = {"auroc": np.ones_like(r), "oscr": r}[metric]
        expected.append(open_set.oscr(k, plain, u))
    # known scores pass through float32 on disk: ties stay ties
    assert group.measure(times) == pytest.approx(expected, abs=1e-12)


def test_metrics_of_a_table(write, tmp_path) -> None:
    known, right, unknown = scores(4)
    rows = rows_of(known, right, unknown)
    lost = {"clip_id": "lost", "label": "fear", "status": "no_face", "subject": "s1"}
    other = {"clip_id": "odd", "label": "boredom", "prediction": "anger", "known_score": 1.0}
    path = write("p", [*rows, lost, other], **{**FOOTER, "threshold": 0.5})
    found = evaluation.evaluate(path, tmp_path / "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text())["known"] == 300
    metrics = found["metrics"]
    plain = open_set.auroc(open_set.curve(known, unknown))
    assert metrics["auroc"]["value"] == pytest.approx(plain, abs=1e-12)
    assert metrics["oscr"]["value"] == pytest.approx(open_set.oscr(known, right, unknown))
    assert metrics["accuracy"]["value"] == pytest.approx(right.mean())
    handled = ((known >= 0.5) * right).sum() + (unknown < 0.5).sum()
    assert metrics["accuracy_with_rejection"]["value"] == pytest.approx(handled / 450)
    for name in open_set_tables.METRICS:
        for level in ("interval_clips", "interval_subjects"):
            low, high = metrics[name][level]
            assert low < metrics[name]["value"] < high
    assert (found["clips"], found["missing"], found["unlabelled"]) == (451, 1, 1)
    assert (found["known"], found["unknown"]) == (300, 151)
    assert found["class_counts"] == {"happiness": 300, "anger": 0, "fear": 151, "contempt": 0}
    assert found["openness"] == pytest.approx(open_set.openness(2, 4))
    strict = found["missing_counted_as_wrong"]
    # the lost clip was unknown: taken for the most known of all
    assert strict["auroc"] == pytest.approx(plain * 150 / 151)
    assert strict["accuracy"] == metrics["accuracy"]["value"]
    assert strict["accuracy_with_rejection"] == pytest.approx(handled / 451)
    assert found["upstream"]["oscr"] == metrics["oscr_upstream"]["value"]
    assert metrics["oscr_upstream"]["value"] < metrics["oscr"]["value"]
    assert metrics["auroc_upstream"]["value"] < metrics["auroc"]["value"]
    assert found["confusion_matrix"][0] == [int(right.sum()), int(300 - right.sum())]


@pytest.mark.parametrize(
    ("kept", "reason", "defined"),
    [("fear", "no known clip", set()), ("happiness", "no unknown clip", {"accuracy"})],
)
def test_one_sided_tables_have_null_and_a_reason(write, tmp_path, kept, reason, defined) -> None:
    rows = [row for row in rows_of(*scores(5)) if row["label"] == kept]
    found = evaluation.evaluate(write("p", rows, **FOOTER), tmp_path / "metrics.json")
    for name, entry in found["metrics"].items():
        assert (entry["value"] is not None) == (name in defined), name
        assert name in defined or reason in entry["reason"]
    assert found["upstream"] is None


def test_single_known_class_and_constant_scores(write, tmp_path) -> None:
    known, right, unknown = np.zeros(20), np.ones(20), np.zeros(10)
    footer = {**FOOTER, "labels": ["happiness"], "unknown_labels": ["fear"]}
    rows = rows_of(known, right, unknown)
    for row in rows:
        row["prediction"] = "happiness"
    found = evaluation.evaluate(write("p", rows, **footer), tmp_path / "metrics.json")
    values = {name: entry["value"] for name, entry in found["metrics"].items()}
    assert (values["auroc"], values["oscr"], values["accuracy"]) == (0.5, 0.5, 1.0)


def test_the_order_of_rows_does_not_matter(write, tmp_path) -> None:
    rows = rows_of(*scores(6))
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    first, second = (
        evaluation.evaluate(write(name, some, **FOOTER), tmp_path / "m.json")["metrics"]
        for name, some in (("a", rows), ("b", shuffled))
    )
    for name, entry in first.items():
        assert second[name]["value"] == pytest.approx(entry["value"], abs=1e-12)
        if "interval_clips" in entry:
            assert second[name]["interval_clips"] == pytest.approx(entry["interval_clips"])


def test_a_clip_counted_twice_is_refused(write, tmp_path) -> None:
    rows = rows_of(*scores(7, clips=6))
    with pytest.raises(StoreError, match="clip c0000 of split 'open-00' has more than one row"):
        evaluation.evaluate(write("p", [*rows, rows[0]], **FOOTER), tmp_path / "m.json")


def test_no_clip_of_known_or_unknown_is_told(write, tmp_path) -> None:
    row = {"clip_id": "a", "label": "boredom", "prediction": "anger", "known_score": 1.0}
    with pytest.raises(StoreError, match="none of 1 clips has a label of known or unknown"):
        evaluation.evaluate(write("p", [row], **FOOTER), tmp_path / "m.json")


def splits(write, name, shift, seeds=(0,)):
    """Two class splits of the same clips, each with its known classes."""
    paths = []
    for split, known in (("open-00", KNOWN), ("open-01", UNKNOWN)):
        for seed in seeds:
            k, right, unknown = scores(8, clips=80)
            rows = rows_of(k + shift, right, unknown)
            if split == "open-01":
                for row in rows:
                    row["label"] = {"happiness": "fear", "fear": "happiness"}[row["label"]]
                    row["prediction"] = UNKNOWN[KNOWN.index(row["prediction"])]
            unseen = UNKNOWN if known is KNOWN else KNOWN
            footer = {**FOOTER, "split": split, "labels": known, "unknown_labels": unseen}
            paths.append(write(f"{name}{split}{seed}", rows, **footer, model=name, seed=seed))
    return paths


def test_comparison_averages_over_splits_and_pairs_the_clips(write, tmp_path) -> None:
    better, worse = splits(write, "a", 1.0), splits(write, "b", 0.0, seeds=(0, 1))
    found = evaluation.compare(better, worse, tmp_path / "c.json")
    assert found[0]["metric"] == "auroc"
    assert [one["metric"] for one in json.loads((tmp_path / "c.json").read_text())] == [
        "auroc",
        "oscr",
    ]
    for one, name in zip(found, ("auroc", "oscr"), strict=True):
        groups = [open_set_tables.group(open_set_tables.read(path), name) for path in better]
        assert one["value_a"] == pytest.approx(bootstrap.mean_value(groups))
        assert one["difference"] == pytest.approx(one["value_a"] - one["value_b"])
        assert set(one["splits"]) == {"open-00", "open-01"}
        low, high = one["interval_clips"]
        assert 0 < low < one["difference"] < high
    assert (found[0]["clips"], found[0]["left_out"]) == (240, 0)


def test_a_result_against_itself_differs_by_nothing(write, tmp_path) -> None:
    paths = splits(write, "a", 0.0)
    for one in evaluation.compare(paths, paths, tmp_path / "c.json"):
        assert one["difference"] == 0
        assert one["interval_clips"] == pytest.approx((0, 0), abs=1e-12)


def test_clips_that_one_side_lost_are_left_out_of_both(write, tmp_path) -> None:
    rows = rows_of(*scores(9, clips=50))
    lost = [{**rows[0], "prediction": None, "known_score": None, "status": "no_face"}, *rows[1:]]
    paths = write("a", rows, **FOOTER), write("b", lost, **FOOTER)
    found = evaluation.compare([paths[0]], [paths[1]], tmp_path / "c.json")
    assert (found[0]["clips"], found[0]["left_out"], found[0]["difference"]) == (74, 1, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [*reversed(KNOWN)]}, "split open-00: m/e has the labels"),
        ({"protocol": "zero_shot"}, "holds predictions of the kind classes"),
        ({"split": "open-07"}, "share no clip"),
    ],
)
def test_what_cannot_be_compared_is_refused(write, tmp_path, change, message) -> None:
    rows = rows_of(*scores(10, clips=20))
    first = write("a", rows, **FOOTER)
    second = write("b", rows, **{**FOOTER, **change})
    assert read_footer(second)["labels"]
    with pytest.raises(ConfigError, match=message):
        evaluation.compare([first], [second], tmp_path / "c.json")
