"""Protocols with known classes: recalls and confusion of a predictions table."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expressway.core.errors import StoreError
from expressway.models.evaluation import tables
from expressway.models.evaluation.metrics import recalls as statistics
from expressway.models.evaluation.tables import Table


@dataclass(frozen=True)
class Outcomes(Table):
    """The labelled clips of a predictions table; ``guess`` is -1 where there is no prediction.

    Attributes:
        truth: (clips,) class of each clip; ``guess`` likewise.
    """

    labels: tuple[str, ...]
    truth: NDArray[np.int64]
    guess: NDArray[np.int64]

    @property
    def hits(self) -> NDArray[np.float64]:
        """(clips,) 1 where the prediction is right, 0 where wrong or missing."""
        return (self.truth == self.guess).astype(np.float64)


def read(predictions: Path) -> Outcomes:
    """Return what a predictions table says.

    Raises:
        StoreError: the table is damaged, or has no labelled clip.
    """
    facts, rows = tables.read_rows(predictions)
    labels = tuple(facts["labels"])
    place = {label: index for index, label in enumerate(labels)}
    known = [row for row in rows if row["label"] in place]
    if not known:
        raise StoreError(
            f"{predictions}: none of {len(rows)} clips has a label among {', '.join(labels)}; "
            "nothing can be measured"
        )
    guess = np.array([place.get(row["prediction"], -1) for row in known], dtype=np.int64)
    return Outcomes(
        **tables.shared(facts, known, rows, guess >= 0),
        labels=labels,
        truth=np.array([place[row["label"]] for row in known], dtype=np.int64),
        guess=guess,
    )


def measure(found: Outcomes) -> dict[str, Any]:
    """Return the content of ``metrics.json``."""
    seen = found.only(found.predicted)
    classes = len(found.labels)
    rows = statistics.count_rows(seen.truth, [seen.hits], classes)
    return {
        **found.facts,
        **tables.counts(found),
        "class_counts": class_counts(found),
        "metrics": {
            name: statistics.estimate(name, rows, seen.subjects, classes)
            if len(rows)
            else undefined("no labelled clip has a prediction")
            for name in statistics.METRICS
        },
        "missing_counted_as_wrong": _strict(found) if not found.predicted.all() else None,
        "per_class_recall": per_class_recall(found),
        "confusion_matrix": confusion(found).tolist(),
        "notes": [*absences(found), *tables.notes(found)],
    }


def undefined(reason: str) -> dict[str, Any]:
    """Return a metric without a value, and why it has none."""
    return {"value": None, "interval_clips": None, "interval_subjects": None, "reason": reason}


def class_counts(found: Outcomes) -> dict[str, int]:
    """Return label -> clips, predicted or not."""
    counts = np.bincount(found.truth, minlength=len(found.labels))
    return dict(zip(found.labels, counts.tolist(), strict=True))


def _strict(found: Outcomes) -> dict[str, float]:
    """Return the recalls with every clip without a prediction counted as an error."""
    rows = statistics.count_rows(found.truth, [found.hits], len(found.labels))
    totals, hits = np.split(rows.sum(0), 2)
    return {name: float(measure(totals, hits)) for name, measure in statistics.METRICS.items()}


def per_class_recall(found: Outcomes) -> dict[str, float | None]:
    """Return label -> recall over the predicted clips, None for a class without any."""
    seen = found.only(found.predicted)
    rows = statistics.count_rows(seen.truth, [seen.hits], len(found.labels))
    recalls = statistics.class_recalls(*np.split(rows.sum(0), 2))
    values = [None if np.isnan(value) else float(value) for value in recalls]
    return dict(zip(found.labels, values, strict=True))


def confusion(found: Outcomes) -> NDArray[np.int64]:
    """Return counts (classes, classes), truth in rows, prediction in columns, in label order."""
    classes = len(found.labels)
    seen = found.predicted
    cells = found.truth[seen] * classes + found.guess[seen]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def absences(found: Outcomes) -> list[str]:
    """Return a note on classes without clips, and one on classes without predictions."""
    told = []
    counts = class_counts(found)
    seen = class_counts(found.only(found.predicted))
    absent = [label for label, count in counts.items() if not count]
    lost = [label for label, count in counts.items() if count and not seen[label]]
    if absent:
        told.append(f"no clip of {', '.join(absent)}: left out of the unweighted average")
    if lost:
        told.append(f"no prediction for any clip of {', '.join(lost)}: left out of the average")
    return told
