"""Fixture M of the HESP specification: five cases, every column, to 1e-6 of a percent."""

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_features__ as cpu

from expressway.models.evaluation.metrics import open_set

# ACC, AUROC, TNR@TPR95, DTACC, AUIN, AUOUT, OSCR of the releases, OSCR clean, in percent
EXPECTED = {
    "A": (83.333333, 73.000000, 7.500000, 70.833333, 80.669159, 56.378356, 65.666667, 65.958333),
    "B": (49.500000, 65.214583, 11.250000, 62.000000, 72.207318, 52.510447, 34.345625, 34.366667),
    "C": (60.000000, 65.566667, 12.000000, 63.250000, 70.089170, 57.674546, 43.023333, 43.081667),
    "D": (100.00000, 40.000000, 0.000000, 62.500000, 48.178571, 40.297619, 35.000000, 40.000000),
    "hand": (75.0000, 66.666667, 0.000000, 70.833333, 60.625000, 51.111111, 50.000000, 58.333333),
}
RANDOM = {
    "A": (0, 60, 40, 3, 1.5),
    "B": (1, 600, 400, 5, 1.0),
    "C": (2, 200, 150, 4, 1.0),
    "D": (3, 5, 4, 2, 1.0),
}
WITHOUT_TIES = [name for name in EXPECTED if name != "C"]
PRECISION = {"rel": 0, "abs": 1e-6}  # the specification prints six decimals of percentages


def case(name):
    """Scores of known clips, whether each is right, scores of unknown clips."""
    if name == "hand":
        known = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
        truth, unknown = np.array([0, 1, 1, 1]), np.array([[0.5, 0.5], [0.65, 0.35], [0.85, 0.15]])
    else:
        seed, clips, strangers, classes, shift = RANDOM[name]
        random = np.random.RandomState(seed)
        truth = random.randint(0, classes, clips)
        known = random.randn(clips, classes)
        known[np.arange(clips), truth] += shift
        unknown = random.randn(strangers, classes)
        if name == "C":
            known, unknown = known.round(1), unknown.round(1)
    right = (known.argmax(1) == truth).astype(float)
    return known.max(1), right, unknown.max(1)


@pytest.mark.parametrize("name", EXPECTED)
def test_accuracy_and_detection(name) -> None:
    known, right, unknown = case(name)
    found = open_set.curve(known, unknown, ties="upstream")
    values = [right.mean(), *(number(found) for number in open_set.DETECTION.values())]
    assert [100 * value for value in values] == pytest.approx(EXPECTED[name][:6], **PRECISION)


@pytest.mark.parametrize("name", WITHOUT_TIES)
def test_without_ties_both_rules_are_one(name) -> None:
    known, _, unknown = case(name)
    found = open_set.curve(known, unknown)
    values = [100 * number(found) for number in open_set.DETECTION.values()]
    assert values == pytest.approx(EXPECTED[name][1:6], **PRECISION)


def test_ties_count_half_in_ours() -> None:
    known, _, unknown = case("C")
    # the specification gives scikit-learn's value to three decimals
    assert 100 * open_set.auroc(open_set.curve(known, unknown)) == pytest.approx(67.285, abs=5e-4)


@pytest.mark.parametrize("name", WITHOUT_TIES)
def test_oscr_of_the_releases(name) -> None:
    assert 100 * open_set.oscr_upstream(*case(name)) == pytest.approx(
        EXPECTED[name][6], **PRECISION
    )


def test_oscr_of_the_releases_with_ties_depends_on_the_sort() -> None:
    """Their sort is numpy's unstable one, whose order of equal scores depends on the processor.

    The specification's value is that of processors with AVX-512 (numpy calls them X86_V4).
    """
    known, right, unknown = case("C")
    order = np.concatenate([known, unknown]).argsort()
    value = 100 * open_set.oscr_upstream(known, right, unknown, order)
    lowest = 100 * open_set.oscr_upstream(known, right, unknown)
    # equal scores with the unknown first: the kindest order
    kindest = np.lexsort((np.repeat([1, 0], [len(known), len(unknown)]), [*known, *unknown]))
    highest = 100 * open_set.oscr_upstream(known, right, unknown, kindest)
    assert lowest < value < highest
    if cpu.get("X86_V4"):
        assert value == pytest.approx(EXPECTED["C"][6], **PRECISION)


@pytest.mark.parametrize("name", EXPECTED)
def test_clean_oscr(name) -> None:
    assert 100 * open_set.oscr(*case(name)) == pytest.approx(EXPECTED[name][7], **PRECISION)


@pytest.mark.parametrize(
    ("known", "total", "usual", "by_share"),
    [(2, 7, 33.33, 46.55), (3, 7, 22.54, 34.53), (4, 7, 14.72, 24.41), (5, 7, 8.71, 15.48),
     (3, 11, 34.53, 47.78), (5, 11, 20.94, 32.58), (6, 11, 15.98, 26.15), (8, 11, 8.23, 14.72)],
)  # fmt: skip
def test_openness_of_the_papers_tasks(known, total, usual, by_share) -> None:
    # printed with two decimals
    assert 100 * open_set.openness(known, total) == pytest.approx(usual, abs=5e-3)
    assert 100 * open_set.openness_by_share(known, total) == pytest.approx(by_share, abs=5e-3)
