"""Recalls of many resamples at once: how far a number would move with other clips or people.

A clip is a row of counts: one-hot truth, then one-hot truth times hit (or the share of hits over
several seeds) for each result. Every recall is a ratio of sums of such rows, so that a resample
is one vector of multiplicities times a matrix.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expressway.models.evaluation.bootstrap import DRAWS, SEED, Array, interval


def count_rows(truth: NDArray[np.int64], hits: Sequence[Array], classes: int) -> Array:
    """Return (clips, (1 + results) * classes): class counts, then hits per class and result.

    Args:
        truth: (clips,) class of each clip.
        hits: per result (clips,) 1 where it is right, 0 where not.
    """
    one_hot = np.eye(classes)[truth]
    return np.concatenate([one_hot, *(one_hot * hit[:, None] for hit in hits)], axis=1)


def class_recalls(totals: Array, hits: Array) -> Array:
    """Return hits over totals (..., classes); NaN for a class without clips."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(totals > 0, hits / totals, np.nan)


def unweighted_average_recall(totals: Array, hits: Array) -> Array:
    """Return the mean recall over the classes that occur; (..., classes) -> (...)."""
    present = totals > 0
    summed = np.nansum(class_recalls(totals, hits), axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(summed / present.sum(-1))


def weighted_average_recall(totals: Array, hits: Array) -> Array:
    """Return the share of all clips that are right (accuracy); (..., classes) -> (...)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(hits.sum(-1) / totals.sum(-1))


METRICS = {
    "unweighted_average_recall": unweighted_average_recall,
    "weighted_average_recall": weighted_average_recall,
}


def resample_clips(rows: Array, draws: int = DRAWS, seed: int = SEED) -> Array:
    """Return (draws, columns): sums of rows drawn with replacement.

    Equal rows are drawn together, since only their number matters: a multinomial over the few
    distinct rows is the same distribution as drawing single clips.
    """
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    random = np.random.default_rng(seed)
    times = random.multinomial(len(rows), counts / len(rows), size=draws)
    return np.asarray(times @ distinct)


def resample_subjects(
    rows: Array, subjects: Sequence[str | None], draws: int = DRAWS, seed: int = SEED
) -> Array | None:
    """Return (draws, columns): sums of the rows of subjects drawn with replacement.

    Returns None when fewer than two subjects are known; a clip without a subject counts as one
    of its own.
    """
    if len({subject for subject in subjects if subject is not None}) < 2:
        return None
    names = [f"clip {i}" if s is None else f"subject {s}" for i, s in enumerate(subjects)]
    _, group = np.unique(names, return_inverse=True)
    sums = np.zeros((group.max() + 1, rows.shape[1]))
    np.add.at(sums, group, rows)
    random = np.random.default_rng(seed)
    times = random.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=draws)
    return np.asarray(times @ sums)


def estimate(
    metric: str, rows: Array, subjects: Sequence[str | None], classes: int
) -> dict[str, Any]:
    """Return ``value``, ``interval_clips`` and ``interval_subjects`` of one result's metric."""
    measure = METRICS[metric]

    def over(sums: Array) -> Array:
        return measure(sums[..., :classes], sums[..., classes : 2 * classes])

    return _with_intervals("value", over, rows, subjects)


def paired_difference(
    metric: str, rows: Array, subjects: Sequence[str | None], classes: int
) -> dict[str, Any]:
    """Return ``difference`` (first result minus second) and its intervals.

    Both results are measured on the same resamples, so that what is hard for both cancels.
    """
    measure = METRICS[metric]

    def over(sums: Array) -> Array:
        totals, first, second = np.split(sums, 3, axis=-1)
        return measure(totals, first) - measure(totals, second)

    return _with_intervals("difference", over, rows, subjects)


def _with_intervals(
    name: str, over: Callable[[Array], Array], rows: Array, subjects: Sequence[str | None]
) -> dict[str, Any]:
    by_subject = resample_subjects(rows, subjects)
    return {
        name: float(over(rows.sum(0))),
        "interval_clips": interval(over(resample_clips(rows))),
        "interval_subjects": None if by_subject is None else interval(over(by_subject)),
    }


def mean_and_deviation(values: Mapping[str, float]) -> tuple[float, float | None]:
    """Return mean and sample standard deviation over splits; no deviation for a single one."""
    found = np.array(list(values.values()), dtype=np.float64)
    return float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else None
