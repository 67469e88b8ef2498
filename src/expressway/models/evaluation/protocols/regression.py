"""Protocol regression: correlations and errors by clip and by subject."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from expressway.core.errors import StoreError
from expressway.models.evaluation import bootstrap, tables
from expressway.models.evaluation.bootstrap import Array, Group
from expressway.models.evaluation.metrics import regression
from expressway.models.evaluation.protocols import classes
from expressway.models.evaluation.tables import Table

BY_SUBJECT = "_by_subject"
METRICS = tuple(f"{name}{level}" for level in ("", BY_SUBJECT) for name in regression.METRICS)
RATER = re.compile(r"^(?P<item>.+)_rater_[^_]+$")


@dataclass(frozen=True)
class Numbers(Table):
    """Clips with a number for at least one target.

    Attributes:
        targets: names of the targets.
        truth: (clips, targets), NaN where unknown; ``guess``: (clips, targets), NaN where there
            is no prediction.
    """

    targets: tuple[str, ...]
    truth: Array
    guess: Array


def read(predictions: Path) -> Numbers:
    """Return what a predictions table says.

    Raises:
        StoreError: the table is damaged, or no clip has a target.
    """
    facts, rows = tables.read_rows(predictions, "targets", "scores")
    names = tuple(facts["targets"])
    truth = {id(row): _numbers(row["targets"], len(names)) for row in rows}
    kept = [row for row in rows if np.isfinite(truth[id(row)]).any()]
    if not kept:
        raise StoreError(f"{predictions}: none of {len(rows)} clips has one of {', '.join(names)}")
    guess = np.array([_numbers(row["scores"], len(names)) for row in kept])
    return Numbers(
        **tables.shared(facts, kept, rows, np.isfinite(guess).all(1)),
        targets=names,
        truth=np.array([truth[id(row)] for row in kept]),
        guess=guess,
    )


def _numbers(values: list[float | None] | None, length: int) -> list[float]:
    return [np.nan if value is None else float(value) for value in values or [None] * length]


def parts(found: list[tuple[str, Numbers]]) -> list[Numbers]:
    """Return the splits of each seed as one table: predicted values share their scale."""
    seeds: dict[Any, list[Numbers]] = {}
    for _, one in found:
        seeds.setdefault(one.facts.get("seed"), []).append(one)
    return [first.followed_by(rest) for first, *rest in seeds.values()]


def group(found: Numbers, metric: str) -> Group:
    """Return what a metric is computed of, as the mean over the targets where it is defined."""
    seen = _level(found, metric)
    pairs = [_pair(seen, target) for target in range(len(seen.targets))]
    computed = [regression.METRICS[_plain(metric)](*pair[1:]) for pair in pairs]
    defined = [
        (rows, compute)
        for (rows, *_), compute in zip(pairs, computed, strict=True)
        if np.isfinite(compute(np.ones((1, len(rows))))[0])
    ]

    def measure(times: Array) -> Array:
        if not defined:
            return np.full(len(times), np.nan)
        return np.mean([compute(times[:, rows]) for rows, compute in defined], axis=0)

    return Group(seen.ids, seen.subjects, measure)


def _plain(metric: str) -> str:
    return metric.removesuffix(BY_SUBJECT)


def _level(found: Numbers, metric: str) -> Numbers:
    """Return the predicted clips, or one row per subject with the means of its clips."""
    seen = found.only(found.predicted)
    return by_subject(seen) if metric.endswith(BY_SUBJECT) else seen


def _pair(seen: Numbers, target: int) -> tuple[Any, Array, Array]:
    """Return the rows with a true value of a target, these values, and the predicted ones."""
    rows = np.flatnonzero(np.isfinite(seen.truth[:, target]))
    return rows, seen.truth[rows, target], seen.guess[rows, target]


def by_subject(found: Numbers) -> Numbers:
    """Return one row per known subject: the means over its clips."""
    people = sorted({subject for subject in found.subjects if subject is not None})
    mine = [np.array([s == person for s in found.subjects], dtype=bool) for person in people]
    shape = (len(people), len(found.targets))
    return replace(
        found,
        ids=tuple(people),
        subjects=tuple(people),
        splits=("",) * len(people),
        predicted=np.ones(len(people), dtype=np.bool_),
        truth=np.array([_means(found.truth[rows]) for rows in mine]).reshape(shape),
        guess=np.array([_means(found.guess[rows]) for rows in mine]).reshape(shape),
    )


def _means(values: Array) -> Array:
    """Return (targets,) means over (clips, targets), unknown values left out."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0.0).sum(0) / known.sum(0))


def measure(found: Numbers) -> dict[str, Any]:
    """Return the content of ``metrics.json``."""
    return {
        **found.facts,
        **tables.counts(found),
        "target_counts": dict(
            zip(found.targets, np.isfinite(found.truth).sum(0).tolist(), strict=True)
        ),
        "metrics": {name: _estimate(found, name) for name in METRICS},
        "per_target": {name: per_target(found, name) for name in found.targets},
        "between_raters": between_raters(found),
        "notes": tables.notes(found, "without a number for any target"),
    }


def _estimate(found: Numbers, metric: str) -> dict[str, Any]:
    one = bootstrap.estimate([group(found, metric)])
    if metric.endswith(BY_SUBJECT):
        one["interval_clips"] = None  # rows are subjects
    if one["value"] is not None:
        return one
    seen = _level(found, metric)
    return classes.undefined(regression.why_undefined(*_pair(seen, 0)[1:]))


def per_target(found: Numbers, target: str) -> dict[str, Any]:
    """Return the numbers of one target, the others left out."""
    column = [found.targets.index(target)]
    alone = replace(
        found, targets=(target,), truth=found.truth[:, column], guess=found.guess[:, column]
    )
    return {name: _estimate(alone, name) for name in METRICS}


def between_raters(found: Numbers) -> list[dict[str, Any]]:
    """Return how far raters of the same thing agree, pair by pair, on the clips tested here.

    Raters of a thing are the targets ``<thing>_rater_<name>``.
    """
    return [
        {
            "targets": [found.targets[a], found.targets[b]],
            **_agreement(found, a, b),
            "by_subject": _agreement(by_subject(found), a, b),
        }
        for a, b in _rater_pairs(found.targets)
    ]


def _rater_pairs(targets: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    items = [RATER.match(target) for target in targets]
    for a, b in combinations(range(len(targets)), 2):
        one, other = items[a], items[b]
        if one and other and one["item"] == other["item"]:
            yield a, b


def _agreement(found: Numbers, a: int, b: int) -> dict[str, Any]:
    both = np.isfinite(found.truth[:, [a, b]]).all(1)
    first, second = found.truth[both, a], found.truth[both, b]
    agreement: dict[str, Any] = {"rows": int(both.sum())}
    for name in ("pearson_correlation", "concordance_correlation"):
        value = regression.value(name, first, second)
        agreement[name] = value if np.isfinite(value) else None
        if not np.isfinite(value):
            agreement["reason"] = regression.why_undefined(first, second)
    return agreement
