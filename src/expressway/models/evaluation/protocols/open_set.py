"""Protocol open_set: known against unknown, and the class of the known."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expressway.core.errors import StoreError
from expressway.models.evaluation import bootstrap, tables
from expressway.models.evaluation.bootstrap import Array, Group, Measure
from expressway.models.evaluation.metrics import open_set
from expressway.models.evaluation.protocols import classes
from expressway.models.evaluation.protocols.classes import Outcomes
from expressway.models.evaluation.tables import Table

METRICS = ("auroc", "oscr", "accuracy", "accuracy_with_rejection")
UPSTREAM = ("auroc_upstream", "oscr_upstream")
NO_KNOWN, NO_UNKNOWN = "no known clip has a prediction", "no unknown clip has a prediction"


@dataclass(frozen=True)
class Openness(Table):
    """The labelled clips of known and of unknown classes.

    Attributes:
        labels: the known classes; the unknown ones are ``facts["unknown_labels"]``.
        truth: (clips,) known class of each clip, -1 for an unknown one.
        guess: (clips,) predicted known class, -1 without a prediction.
        score: (clips,) confidence of the known classes per clip, NaN without a prediction.
    """

    labels: tuple[str, ...]
    names: tuple[str, ...]
    truth: NDArray[np.int64]
    guess: NDArray[np.int64]
    score: Array

    @property
    def known(self) -> NDArray[np.bool_]:
        """(clips,) whether the clip shows a known class."""
        return self.truth >= 0

    @property
    def right(self) -> Array:
        """(clips,) 1 where a known clip's class is predicted."""
        return (self.known & (self.truth == self.guess)).astype(np.float64)

    @property
    def handled(self) -> Array | None:
        """(clips,) 1 where a known clip is accepted and right, or an unknown one rejected."""
        threshold = self.facts.get("threshold")
        if threshold is None:
            return None
        accepted = self.score >= threshold
        return np.where(self.known, self.right * accepted, ~accepted).astype(np.float64)


def read(predictions: Path) -> Openness:
    """Return what a predictions table says.

    Raises:
        StoreError: the table is damaged, or has no labelled clip.
    """
    facts, rows = tables.read_rows(predictions, "known_score")
    labels = tuple(facts["labels"])
    place = {label: index for index, label in enumerate(labels)}
    kept = [r for r in rows if r["label"] in place or r["label"] in facts["unknown_labels"]]
    if not kept:
        raise StoreError(
            f"{predictions}: none of {len(rows)} clips has a label of known or unknown"
        )
    score = np.array([np.nan if r["known_score"] is None else r["known_score"] for r in kept])
    return Openness(
        **tables.shared(facts, kept, rows, np.isfinite(score)),
        labels=labels,
        names=tuple(row["label"] for row in kept),
        truth=np.array([place.get(row["label"], -1) for row in kept], dtype=np.int64),
        guess=np.array([place.get(row["prediction"], -1) for row in kept], dtype=np.int64),
        score=score,
    )


def parts(found: list[tuple[str, Openness]]) -> list[Openness]:
    """Return what is measured apart and averaged: every split has known classes of its own."""
    return [one for _, one in found]


def group(found: Openness, metric: str) -> Group:
    """Return the predicted clips with the number that a metric computes of them."""
    seen = found.only(found.predicted)
    return Group(seen.ids, seen.subjects, _measure(seen, metric))


def _measure(seen: Openness, metric: str) -> Measure:
    if metric == "auroc":
        return _wins(seen, np.ones(len(seen.ids)))
    if metric == "oscr":
        return _wins(seen, seen.right)
    if metric == "accuracy":
        return _share(seen.right, seen.known)
    handled = seen.handled
    everyone = np.full(len(seen.ids), handled is not None)
    return _share(np.zeros(len(everyone)) if handled is None else handled, everyone)


def _share(counted: Array, among: NDArray[np.bool_]) -> Measure:
    def measure(times: Array) -> Array:
        drawn = times[:, among]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(drawn @ counted[among] / drawn.sum(1))

    return measure


def _wins(seen: Openness, counted: Array) -> Measure:
    """Return the share of pairs in which a counted known clip scores above an unknown one.

    With all clips counted that is AUROC, with the right ones OSCR; equal scores count half.
    """
    known = np.flatnonzero(seen.known)
    strangers = np.flatnonzero(~seen.known)
    strangers = strangers[np.argsort(seen.score[strangers])]
    ladder = seen.score[strangers]
    below = np.searchsorted(ladder, seen.score[known], "left")
    upto = np.searchsorted(ladder, seen.score[known], "right")

    def measure(times: Array) -> Array:
        lower = np.pad(np.cumsum(times[:, strangers], axis=1), ((0, 0), (1, 0)))
        drawn = times[:, known]
        wins = (drawn * counted[known] * (lower[:, below] + lower[:, upto])).sum(1) / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(wins / (drawn.sum(1) * lower[:, -1]))

    return measure


def measure(found: Openness) -> dict[str, Any]:
    """Return the content of ``metrics.json``."""
    seen = found.only(found.predicted)
    lack = None if seen.known.any() else NO_KNOWN
    lack = lack or (None if (~seen.known).any() else NO_UNKNOWN)
    closed = _closed(found)
    known, total = len(found.labels), len(found.labels) + len(found.facts["unknown_labels"])
    number = Counter(found.names)
    return {
        **found.facts,
        **tables.counts(found),
        "known": int(found.known.sum()),
        "unknown": int((~found.known).sum()),
        "class_counts": {n: number[n] for n in (*found.labels, *found.facts["unknown_labels"])},
        "openness": open_set.openness(known, total),
        "openness_by_share": open_set.openness_by_share(known, total),
        "metrics": {**_with_intervals(found, lack), **_detection(seen, lack)},
        "missing_counted_as_wrong": _strict(found),
        "upstream": None if lack else _upstream(seen),
        "per_class_recall": classes.per_class_recall(closed),
        "confusion_matrix": classes.confusion(closed).tolist(),
        "notes": [*classes.absences(closed), *tables.notes(found)],
    }


def _with_intervals(found: Openness, lack: str | None) -> dict[str, Any]:
    estimates = {name: bootstrap.estimate([group(found, name)]) for name in _names(found)}
    return {
        name: one if one["value"] is not None else classes.undefined(str(lack))
        for name, one in estimates.items()
    }


def _names(found: Openness) -> list[str]:
    """Return the metrics that can be computed: rejection needs a threshold."""
    return [n for n in METRICS if n != "accuracy_with_rejection" or found.handled is not None]


def _detection(seen: Openness, lack: str | None) -> dict[str, Any]:
    """Return the numbers without intervals, and AUROC and OSCR by the releases' rules."""
    names = [name for name in open_set.DETECTION if name not in METRICS]
    if lack:
        return {name: classes.undefined(lack) for name in (*names, *UPSTREAM)}
    found = open_set.curve(seen.score[seen.known], seen.score[~seen.known])
    theirs = _upstream(seen)
    return {
        **{name: {"value": open_set.DETECTION[name](found)} for name in names},
        **{name: {"value": theirs[name.removesuffix("_upstream")]} for name in UPSTREAM},
    }


def _strict(found: Openness) -> dict[str, float | None] | None:
    """Return the numbers with every clip without a prediction taken for the opposite.

    A lost known clip is wrong and scores lowest, a lost unknown one scores highest.
    """
    lost = ~found.predicted
    if not lost.any():
        return None
    worst = np.where(found.known, -np.inf, np.inf)
    everyone = replace(
        found, predicted=np.ones_like(lost), score=np.where(lost, worst, found.score)
    )
    return {name: bootstrap.mean_value([group(everyone, name)]) for name in _names(found)}


def _upstream(seen: Openness) -> dict[str, float]:
    """Return the numbers by the releases' rules for equal scores and OSCR."""
    known, unknown = seen.score[seen.known], seen.score[~seen.known]
    found = open_set.curve(known, unknown, ties="upstream")
    numbers = {name: number(found) for name, number in open_set.DETECTION.items()}
    return {**numbers, "oscr": open_set.oscr_upstream(known, seen.right[seen.known], unknown)}


def _closed(found: Openness) -> Outcomes:
    """Return the known clips alone, as a table of classes."""
    mine = found.only(found.known)
    return Outcomes(
        mine.facts, mine.ids, mine.subjects, mine.splits, mine.predicted, mine.unlabelled,
        mine.statuses, mine.labels, mine.truth, mine.guess,
    )  # fmt: skip
