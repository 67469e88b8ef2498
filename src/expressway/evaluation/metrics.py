"""What one table of predictions says: recalls, confusion, and what could not be measured."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expressway.errors import StoreError
from expressway.evaluation import statistics
from expressway.store import read_footer, read_table

COLUMNS = ("clip_id", "subject", "split", "label", "prediction", "status")


@dataclass(frozen=True)
class Outcomes:
    """The labelled clips of a predictions table; ``guess`` is -1 where there is no prediction.

    Attributes:
        facts: the table's footer: model, method, split, labels, parameters and so on.
        truth: (clips,) class of each clip; ``guess`` likewise.
        unlabelled: clips whose label is not among the classes.
        statuses: how many clips have no prediction, by status.
    """

    facts: dict[str, Any]
    labels: tuple[str, ...]
    ids: tuple[str, ...]
    subjects: tuple[str | None, ...]
    splits: tuple[str, ...]
    truth: NDArray[np.int64]
    guess: NDArray[np.int64]
    unlabelled: int
    statuses: dict[str, int]

    @property
    def predicted(self) -> NDArray[np.bool_]:
        """(clips,) whether there is a prediction."""
        return self.guess >= 0

    @property
    def hits(self) -> NDArray[np.float64]:
        """(clips,) 1 where the prediction is right, 0 where wrong or missing."""
        return (self.truth == self.guess).astype(np.float64)


def read(predictions: Path) -> Outcomes:
    """Return what a predictions table says.

    Raises:
        StoreError: the table is damaged, or has no labelled clip.
    """
    facts = read_footer(predictions)
    rows = read_table(predictions, COLUMNS).to_pylist()
    labels = tuple(facts["labels"])
    place = {label: index for index, label in enumerate(labels)}
    known = [row for row in rows if row["label"] in place]
    if not known:
        raise StoreError(
            f"{predictions}: none of {len(rows)} clips has a label among {', '.join(labels)}; "
            "nothing can be measured"
        )
    return Outcomes(
        facts=facts,
        labels=labels,
        ids=tuple(row["clip_id"] for row in known),
        subjects=tuple(row["subject"] for row in known),
        splits=tuple(row["split"] or "" for row in known),
        truth=np.array([place[row["label"]] for row in known], dtype=np.int64),
        guess=np.array([place.get(row["prediction"], -1) for row in known], dtype=np.int64),
        unlabelled=len(rows) - len(known),
        statuses=dict(Counter(row["status"] for row in known if row["prediction"] is None)),
    )


def measure(found: Outcomes) -> dict[str, Any]:
    """Return the content of ``metrics.json``."""
    seen = found.predicted
    classes = len(found.labels)
    rows = statistics.count_rows(found.truth[seen], [found.hits[seen]], classes)
    subjects = [s for s, has in zip(found.subjects, seen, strict=True) if has]
    counts = np.bincount(found.truth, minlength=classes)
    return {
        **found.facts,
        "clips": len(found.truth),
        "missing": int((~seen).sum()),
        "missing_by_status": found.statuses,
        "unlabelled": found.unlabelled,
        "subjects": len({s for s in found.subjects if s is not None}),
        "class_counts": dict(zip(found.labels, counts.tolist(), strict=True)),
        "metrics": {
            name: statistics.estimate(name, rows, subjects, classes) if len(rows) else _undefined()
            for name in statistics.METRICS
        },
        "missing_counted_as_wrong": _strict(found) if not seen.all() else None,
        "per_class_recall": _per_class(found),
        "confusion_matrix": _confusion(found),
        "notes": _notes(found, counts),
    }


def _undefined() -> dict[str, Any]:
    return {"value": None, "interval_clips": None, "interval_subjects": None}


def _strict(found: Outcomes) -> dict[str, float]:
    """Return the recalls with every clip without a prediction counted as an error."""
    rows = statistics.count_rows(found.truth, [found.hits], len(found.labels))
    totals, hits = np.split(rows.sum(0), 2)
    return {name: float(measure(totals, hits)) for name, measure in statistics.METRICS.items()}


def _per_class(found: Outcomes) -> dict[str, float | None]:
    seen = found.predicted
    rows = statistics.count_rows(found.truth[seen], [found.hits[seen]], len(found.labels))
    recalls = statistics.class_recalls(*np.split(rows.sum(0), 2))
    values = [None if np.isnan(value) else float(value) for value in recalls]
    return dict(zip(found.labels, values, strict=True))


def _confusion(found: Outcomes) -> list[list[int]]:
    """Return counts, truth in rows, prediction in columns, in label order."""
    from sklearn.metrics import confusion_matrix

    seen, classes = found.predicted, range(len(found.labels))
    if not seen.any():
        return np.zeros((len(classes), len(classes)), dtype=int).tolist()
    matrix = confusion_matrix(found.truth[seen], found.guess[seen], labels=list(classes))
    return [[int(value) for value in row] for row in matrix]


def _notes(found: Outcomes, counts: NDArray[np.int64]) -> list[str]:
    notes = list(found.facts.get("notes", []))
    seen = np.bincount(found.truth[found.predicted], minlength=len(found.labels))
    absent = [label for label, count in zip(found.labels, counts, strict=True) if not count]
    lost = [label for label, n, m in zip(found.labels, counts, seen, strict=True) if n and not m]
    if absent:
        notes.append(f"no clip of {', '.join(absent)}: left out of the unweighted average")
    if lost:
        notes.append(f"no prediction for any clip of {', '.join(lost)}: left out of the average")
    missing = int((~found.predicted).sum())
    if missing:
        told = ", ".join(f"{n} {status}" for status, n in sorted(found.statuses.items()))
        notes.append(f"{missing} clips without a prediction ({told}) are left out of the metrics")
    if found.unlabelled:
        notes.append(f"{found.unlabelled} clips without a label among the classes are left out")
    if len({s for s in found.subjects if s is not None}) < 2:
        notes.append("fewer than two known subjects: no interval over subjects")
    return notes
