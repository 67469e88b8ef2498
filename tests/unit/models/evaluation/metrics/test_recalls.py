"""Bootstraps: the fast forms equal the plain definitions, and intervals behave."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, recall_score

from expressway.models.evaluation.metrics import recalls


def world(seed: int, clips: int = 300, classes: int = 4, subjects: int = 20):
    random = np.random.default_rng(seed)
    truth = random.integers(classes, size=clips)
    guess = np.where(random.random(clips) < 0.6, truth, random.integers(classes, size=clips))
    return truth, guess, [f"s{i}" for i in random.integers(subjects, size=clips)]


def rows_of(truth, *guesses, classes=4):
    return recalls.count_rows(truth, [(truth == g).astype(float) for g in guesses], classes)


def test_recalls_agree_with_scikit_learn() -> None:
    truth, guess, _ = world(0)
    totals, hits = np.split(rows_of(truth, guess).sum(0), 2)
    uar = recalls.unweighted_average_recall(totals, hits)
    war = recalls.weighted_average_recall(totals, hits)
    assert uar == pytest.approx(recall_score(truth, guess, average="macro"), abs=1e-12)
    assert war == pytest.approx(accuracy_score(truth, guess), abs=1e-12)


def test_drawing_equal_rows_together_is_the_plain_bootstrap() -> None:
    truth, guess, _ = world(1, clips=120)
    rows = rows_of(truth, guess)
    fast = recalls.interval(_uar(recalls.resample_clips(rows, 20000)))
    random = np.random.default_rng(7)
    plain = recalls.interval(
        np.array([_uar(rows[random.integers(120, size=120)].sum(0)) for _ in range(20000)])
    )
    # 20000 draws: a quantile's standard error is about 0.0007 for a spread of 0.04
    np.testing.assert_allclose(fast, plain, atol=0.004)


def _uar(sums):
    return recalls.unweighted_average_recall(sums[..., :4], sums[..., 4:])


def test_subjects_are_drawn_whole() -> None:
    # two subjects, one always right and one always wrong: only 0, 1/2 and 1 can come out
    truth = np.zeros(20, dtype=int)
    hits = np.array([1.0] * 10 + [0.0] * 10)
    rows = recalls.count_rows(truth, [hits], 1)
    sums = recalls.resample_subjects(rows, ["a"] * 10 + ["b"] * 10)
    assert set(np.unique(sums[:, 1] / sums[:, 0])) == {0.0, 0.5, 1.0}


def test_one_subject_gives_no_interval_and_unknown_ones_stand_alone() -> None:
    rows = recalls.count_rows(np.zeros(4, dtype=int), [np.ones(4)], 1)
    assert recalls.resample_subjects(rows, ["a"] * 4) is None
    assert recalls.resample_subjects(rows, [None] * 4) is None
    assert recalls.resample_subjects(rows, ["a", "b", None, None]) is not None


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        truth = np.arange(200) % 4
        guess = np.where(random.random(200) < 0.7, truth, (truth + 1) % 4)
        low, high = recalls.estimate(
            "unweighted_average_recall", rows_of(truth, guess), [None] * 200, 4
        )["interval_clips"]
        covered += low <= 0.7 <= high
    # 95 % nominal; 200 trials have a standard deviation of 1.5 points
    assert 0.89 <= covered / 200 <= 1.0


def test_pairing_narrows_the_interval() -> None:
    truth, guess, subjects = world(3)
    better = guess.copy()
    better[:15] = truth[:15]
    paired = recalls.paired_difference(
        "unweighted_average_recall", rows_of(truth, better, guess), subjects, 4
    )
    low, high = paired["interval_clips"]
    single = recalls.estimate("unweighted_average_recall", rows_of(truth, better), subjects, 4)
    assert 0 < low <= paired["difference"] <= high
    assert high - low < 0.6 * np.diff(single["interval_clips"])[0]


def test_a_result_against_itself_differs_by_nothing() -> None:
    truth, guess, subjects = world(4)
    found = recalls.paired_difference(
        "weighted_average_recall", rows_of(truth, guess, guess), subjects, 4
    )
    assert found == {
        "difference": 0.0,
        "interval_clips": (0.0, 0.0),
        "interval_subjects": (0.0, 0.0),
    }


def test_intervals_are_the_same_every_time() -> None:
    truth, guess, subjects = world(5)
    rows = rows_of(truth, guess)
    first = recalls.estimate("unweighted_average_recall", rows, subjects, 4)
    assert first == recalls.estimate("unweighted_average_recall", rows, subjects, 4)


def test_a_class_without_clips_is_left_out_of_the_average() -> None:
    truth, guess = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    totals, hits = np.split(rows_of(truth, guess).sum(0), 2)
    assert recalls.unweighted_average_recall(totals, hits) == 0.75
    assert np.isnan(recalls.class_recalls(totals, hits)[2:]).all()


def test_mean_and_deviation_over_splits() -> None:
    mean, deviation = recalls.mean_and_deviation({"a": 0.2, "b": 0.4})
    assert (mean, deviation) == pytest.approx((0.3, 0.1414213562), abs=1e-9)
    assert recalls.mean_and_deviation({"a": 0.5}) == (0.5, None)
