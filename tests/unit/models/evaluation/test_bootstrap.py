"""The bootstrap of numbers that are no ratio of sums."""

import numpy as np
import pytest

from expressway.models.evaluation import bootstrap
from expressway.models.evaluation.bootstrap import Group
from expressway.models.evaluation.metrics import recalls


def mean_of(values, ids=None, subjects=None) -> Group:
    values = np.asarray(values, dtype=float)
    names = tuple(ids or (f"c{i}" for i in range(len(values))))
    return Group(names, tuple(subjects or [None] * len(values)), lambda t: t @ values / t.sum(1))


def test_value_is_the_mean_over_groups_and_its_interval_holds_it() -> None:
    random = np.random.default_rng(0)
    groups = [mean_of(random.normal(m, 1, 100)) for m in (1.0, 3.0)]
    found = bootstrap.estimate(groups)
    assert found["value"] == pytest.approx(np.mean([g.value for g in groups]), abs=1e-12)
    low, high = found["interval_clips"]
    assert low < found["value"] < high
    # the same 100 clips in both groups: the mean of two draws has a deviation of about 0.07
    assert 0.15 < high - low < 0.45


def test_a_clip_is_drawn_alike_in_every_group() -> None:
    values = np.random.default_rng(1).normal(size=60)
    found = bootstrap.estimate([mean_of(values), mean_of(-values)])
    # whatever is drawn, the groups cancel
    np.testing.assert_allclose(found["interval_clips"], 0, atol=1e-12)


def test_other_clips_do_not_cancel() -> None:
    values = np.random.default_rng(1).normal(size=60)
    other = mean_of(-values, ids=[f"other{i}" for i in range(60)])
    low, high = bootstrap.estimate([mean_of(values), other])["interval_clips"]
    assert high - low > 0.1


def test_it_is_the_bootstrap_of_recalls() -> None:
    random = np.random.default_rng(2)
    hits = (random.random(200) < 0.6).astype(float)
    rows = recalls.count_rows(np.zeros(200, dtype=int), [hits], 1)
    slow = bootstrap.estimate([mean_of(hits)])
    fast = recalls.estimate("weighted_average_recall", rows, [None] * 200, 1)
    assert slow["value"] == fast["value"]
    # two draws of 2000: quantiles have a standard error of about 0.002
    np.testing.assert_allclose(slow["interval_clips"], fast["interval_clips"], atol=0.012)


def test_subjects_are_drawn_whole() -> None:
    people = ["a"] * 10 + ["b"] * 10
    found = bootstrap.estimate([mean_of([1.0] * 10 + [0.0] * 10, subjects=people)])
    assert found["interval_subjects"] == (0.0, 1.0)
    assert bootstrap.estimate([mean_of([1.0, 0.0])])["interval_subjects"] is None


def test_a_paired_difference_is_narrower_than_either_side() -> None:
    random = np.random.default_rng(3)
    values = random.normal(size=100)
    better = mean_of(values + 0.1 + 0.01 * random.normal(size=100))
    found = bootstrap.difference([better], [mean_of(values)])
    low, high = found["interval_clips"]
    assert low <= found["difference"] <= high
    assert found["difference"] == pytest.approx(0.1, abs=0.01)
    assert high - low < 0.02


def test_undefined_groups_are_left_out_and_none_at_all_is_null() -> None:
    nothing = Group(("a",), (None,), lambda times: np.full(len(times), np.nan))
    assert bootstrap.estimate([nothing, mean_of([2.0])])["value"] == 2.0
    empty = {"value": None, "interval_clips": None, "interval_subjects": None}
    assert bootstrap.estimate([nothing]) == bootstrap.estimate([]) == empty
    assert bootstrap.difference([nothing], [mean_of([2.0])])["difference"] is None


def test_large_tables_are_drawn_in_pieces_with_the_same_chance(monkeypatch) -> None:
    group = mean_of(np.random.default_rng(4).normal(size=50))
    whole = bootstrap.estimate([group])
    monkeypatch.setattr(bootstrap, "AT_ONCE", 500)
    pieces = bootstrap.estimate([group])
    np.testing.assert_allclose(pieces["interval_clips"], whole["interval_clips"], rtol=1e-12)
