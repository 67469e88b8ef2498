"""Errors and correlations: against scipy, scikit-learn and torchmetrics; subjects; raters."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from sklearn.metrics import mean_absolute_error, root_mean_squared_error
from torchmetrics.functional.regression import concordance_corrcoef

from expressway.core.errors import ConfigError, StoreError
from expressway.models import evaluation
from expressway.models.evaluation.metrics import regression
from expressway.models.evaluation.protocols import regression as regression_tables

RATERS = ["severity_rater_1", "severity_rater_2"]
FOOTER = {"protocol": "regression", "split": "fold1", "labels": RATERS, "targets": RATERS}


def pair(seed: int, clips: int = 200):
    random = np.random.default_rng(seed)
    truth = random.normal(4, 1, clips)
    return truth, 0.5 * truth + random.normal(1, 0.7, clips)


def rows_of(truth, guess, clips_each=5):
    """Rows of subjects with ``clips_each`` clips; values are those of every clip."""
    return [
        {
            "clip_id": f"c{i:03d}",
            "subject": f"s{i // clips_each}",
            "targets": list(np.atleast_1d(t)),
            "scores": None if g is None else list(np.atleast_1d(g)),
            "status": "ok" if g is not None else "no_face",
        }
        for i, (t, g) in enumerate(zip(truth, guess, strict=True))
    ]


def test_values_agree_with_the_libraries() -> None:
    truth, guess = pair(0)
    value = {name: regression.value(name, truth, guess) for name in regression.METRICS}
    assert value["pearson_correlation"] == pytest.approx(pearsonr(truth, guess)[0], abs=1e-12)
    assert value["mean_absolute_error"] == pytest.approx(mean_absolute_error(truth, guess))
    assert value["root_mean_squared_error"] == pytest.approx(root_mean_squared_error(truth, guess))
    library = float(concordance_corrcoef(torch.from_numpy(guess), torch.from_numpy(truth)))
    # torchmetrics divides by n - 1: with 200 clips the squared distance of means weighs less
    assert value["concordance_correlation"] == pytest.approx(library, abs=5e-3)


def test_concordance_is_the_formula_with_population_deviations() -> None:
    truth, guess = pair(1)
    correlation = regression.value("pearson_correlation", truth, guess)
    deviations = truth.std(), guess.std()
    distance = (truth.mean() - guess.mean()) ** 2
    expected = 2 * correlation * np.prod(deviations) / (np.square(deviations).sum() + distance)
    found = regression.value("concordance_correlation", truth, guess)
    assert found == pytest.approx(expected, abs=1e-12)


def test_perfect_and_reversed_predictions() -> None:
    truth, _ = pair(2)
    for name in ("pearson_correlation", "concordance_correlation"):
        assert regression.value(name, truth, truth) == pytest.approx(1, abs=1e-12)
        assert regression.value(name, truth, 2 * truth.mean() - truth) == pytest.approx(-1)


@pytest.mark.parametrize("metric", list(regression.METRICS))
def test_the_resampled_form_is_the_plain_one(metric) -> None:
    truth, guess = pair(3, clips=40)
    times = np.random.default_rng(0).multinomial(40, [1 / 40] * 40, size=6)
    expected = [
        regression.value(metric, np.repeat(truth, one), np.repeat(guess, one)) for one in times
    ]
    found = regression.METRICS[metric](truth, guess)(times.astype(float))
    assert found == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e6])
def test_constant_predictions_have_no_correlation_and_no_concordance(
    write, tmp_path, value
) -> None:
    truth, _ = pair(4, clips=50)
    guess = np.full(50, value, dtype=np.float32) * (1 + 1e-7 * np.resize([0, 1], 50))
    path = write("p", rows_of(truth, guess), **{**FOOTER, "targets": ["severity"]})
    metrics = evaluation.evaluate(path, tmp_path / "m.json")["metrics"]
    assert metrics["pearson_correlation"]["value"] is None
    assert metrics["pearson_correlation"]["reason"] == "the predictions are constant"
    # defined: nothing of the truth is followed
    assert metrics["concordance_correlation"]["value"] == pytest.approx(0, abs=1e-6)
    assert metrics["mean_absolute_error"]["value"] > 0


def test_one_clip_and_equal_constants_are_undefined_with_a_reason(write, tmp_path) -> None:
    footer = {**FOOTER, "targets": ["severity"]}
    for rows, reason in (
        (rows_of([1.0], [2.0]), "fewer than two values"),
        (rows_of([2.0] * 4, [2.0] * 4), "the true values and the predictions are constant"),
    ):
        found = evaluation.evaluate(write("p", rows, **footer), tmp_path / "m.json")["metrics"]
        assert found["pearson_correlation"]["value"] is None
        assert found["pearson_correlation"]["reason"] == reason
        assert found["mean_absolute_error"]["value"] is not None


def test_metrics_of_a_table(write, tmp_path) -> None:
    truth, guess = pair(5, clips=100)
    other = truth + np.random.default_rng(6).normal(0, 0.3, 100)
    truths, guesses = np.stack([truth, other], 1), np.stack([guess, guess], 1)
    rows = rows_of(truths, [*guesses[:-1], None])
    rows[3]["targets"][1] = None
    untold = {"clip_id": "untold", "targets": [None, None], "scores": [1.0, 1.0]}
    found = evaluation.evaluate(write("p", [*rows, untold], **FOOTER), tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text())["clips"] == 100
    assert (found["missing"], found["unlabelled"], found["subjects"]) == (1, 1, 20)
    assert found["target_counts"] == dict(zip(RATERS, (100, 99), strict=True))
    each = [found["per_target"][name]["pearson_correlation"]["value"] for name in RATERS]
    # values pass through float32 on disk
    assert each[0] == pytest.approx(pearsonr(truth[:99], guess[:99])[0], abs=1e-6)
    assert found["metrics"]["pearson_correlation"]["value"] == pytest.approx(np.mean(each))
    for name in regression_tables.METRICS:
        entry = found["metrics"][name]
        assert entry["interval_subjects"][0] < entry["value"] < entry["interval_subjects"][1]
        assert (entry["interval_clips"] is None) == name.endswith("_by_subject")
    [raters] = found["between_raters"]
    kept = np.arange(100) != 3
    assert raters["rows"] == 99
    assert raters["pearson_correlation"] == pytest.approx(
        pearsonr(truth[kept], other[kept])[0], abs=1e-6
    )


def test_a_subjects_clips_are_averaged(write, tmp_path) -> None:
    truth, guess = pair(7, clips=60)
    truth = np.repeat(truth[::5], 5)
    path = write("p", rows_of(truth, guess), **{**FOOTER, "targets": ["severity"]})
    found = evaluation.evaluate(path, tmp_path / "m.json")
    by_subject = guess.reshape(-1, 5).mean(1)
    expected = pearsonr(truth[::5], by_subject)[0]
    value = found["metrics"]["pearson_correlation_by_subject"]["value"]
    assert value == pytest.approx(expected, abs=1e-6)
    assert value > found["metrics"]["pearson_correlation"]["value"]


def test_only_raters_of_one_thing_are_compared() -> None:
    names = ("mood_rater_a", "mood_rater_b", "speech_rater_a", "n1", "n2")
    assert list(regression_tables._rater_pairs(names)) == [(0, 1)]


def test_clips_without_any_target_are_told(write, tmp_path) -> None:
    row = {"clip_id": "a", "targets": [None, None], "scores": [1.0, 1.0]}
    with pytest.raises(StoreError, match="none of 1 clips has one of severity_rater_1"):
        evaluation.evaluate(write("p", [row], **FOOTER), tmp_path / "m.json")


def folds(write, name, noise, seeds=(0,)):
    truth, guess = pair(8, clips=100)
    guess = truth + noise * (guess - truth)
    paths = []
    for seed in seeds:
        for fold, part in (("fold1", slice(0, 50)), ("fold2", slice(50, 100))):
            rows = rows_of(truth, guess)[part]
            footer = {**FOOTER, "split": fold, "targets": ["severity"], "seed": seed}
            paths.append(write(f"{name}{fold}{seed}", rows, **footer, model=name))
    return paths


def test_folds_are_pooled_in_a_comparison(write, tmp_path) -> None:
    better, worse = folds(write, "a", 0.5), folds(write, "b", 1.0, seeds=(0, 1))
    found = evaluation.compare(better, worse, tmp_path / "c.json")
    concordance = found[0]
    assert concordance["metric"] == "concordance_correlation"
    truth, guess = pair(8, clips=100)
    expected = regression.value("concordance_correlation", truth, guess)
    assert concordance["value_b"] == pytest.approx(expected, abs=1e-6)
    assert concordance["difference"] == pytest.approx(
        concordance["value_a"] - concordance["value_b"]
    )
    assert set(concordance["splits"]) == {"fold1", "fold2"}
    low, high = concordance["interval_subjects"]
    assert 0 < low < concordance["difference"] < high


def test_other_truths_are_refused(write, tmp_path) -> None:
    rows = rows_of(*pair(9, clips=10))
    footer = {**FOOTER, "targets": ["severity"]}
    first = write("a", rows, **footer)
    rows[4]["targets"] = [99.0]
    with pytest.raises(ConfigError, match="clip c004 has another label"):
        evaluation.compare([first], [write("b", rows, **footer)], tmp_path / "c.json")
