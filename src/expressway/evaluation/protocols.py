"""From predictions to metrics, and from two sets of predictions to a paired comparison."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from expressway.errors import ConfigError
from expressway.evaluation import metrics, statistics
from expressway.evaluation.metrics import Outcomes
from expressway.store import write_json


def evaluate(predictions: Path, out: Path) -> dict[str, Any]:
    """Measure a predictions table, write ``metrics.json`` to ``out``, return its content.

    Intervals are central 95 % of 2000 resamples, over clips and over subjects, with a fixed seed.

    Raises:
        StoreError: the table is damaged, or has no labelled clip.
    """
    found = metrics.measure(metrics.read(predictions))
    write_json(out, found)
    return found


def compare(
    a: Sequence[Path],
    b: Sequence[Path],
    out: Path,
    metric: str = "unweighted_average_recall",
) -> dict[str, Any]:
    """Write the paired difference a - b over the clips that both predicted; return it.

    All tables of a side are pooled: the test parts of several splits, and where a side has
    several seeds, a clip counts by its share of right predictions.

    Raises:
        ConfigError: the sides have different classes or truths, or no clip in common.
    """
    first, second = [metrics.read(path) for path in a], [metrics.read(path) for path in b]
    _check_classes([*first, *second])
    sides = [_by_clip(first), _by_clip(second)]
    common = [key for key in sides[0] if key in sides[1]]
    if not common:
        raise ConfigError(f"{_name(first)} and {_name(second)} share no clip with a prediction")
    found = {
        "a": _name(first),
        "b": _name(second),
        "metric": metric,
        **_difference(metric, sides, common, len(first[0].labels)),
        "clips": len(common),
        "left_out": len(set(sides[0]) ^ set(sides[1])),
        "splits": _per_split(metric, sides, common, len(first[0].labels)),
    }
    write_json(out, found)
    return found


Key = tuple[str, str]
Side = dict[Key, tuple[int, str | None, float]]


def _name(tables: Sequence[Outcomes]) -> str:
    facts = tables[0].facts
    return f"{facts['model']}/{facts['evaluation']}"


def _check_classes(tables: Sequence[Outcomes]) -> None:
    for table in tables:
        if table.labels != tables[0].labels:
            raise ConfigError(
                f"{_name([table])} has the classes {', '.join(table.labels)}, {_name(tables)} has "
                f"{', '.join(tables[0].labels)}: they cannot be compared"
            )


def _by_clip(tables: Sequence[Outcomes]) -> Side:
    """Return (clip, split) -> class, subject, share of right predictions over the tables."""
    hits: dict[Key, list[float]] = {}
    facts: dict[Key, tuple[int, str | None]] = {}
    for table in tables:
        for index in np.flatnonzero(table.predicted):
            key = (table.ids[index], table.splits[index])
            hits.setdefault(key, []).append(float(table.hits[index]))
            facts[key] = (int(table.truth[index]), table.subjects[index])
    return {key: (*facts[key], float(np.mean(values))) for key, values in hits.items()}


def _difference(
    metric: str, sides: Sequence[Side], keys: Sequence[Key], classes: int
) -> dict[str, Any]:
    truth = np.array([sides[0][key][0] for key in keys], dtype=np.int64)
    other = np.array([sides[1][key][0] for key in keys], dtype=np.int64)
    if (truth != other).any():
        clip = keys[int(np.flatnonzero(truth != other)[0])][0]
        raise ConfigError(f"clip {clip} has another label in each result: evaluate both again")
    subjects = [sides[0][key][1] for key in keys]
    hits = [np.array([side[key][2] for key in keys]) for side in sides]
    rows = statistics.count_rows(truth, hits, classes)
    totals, first, second = np.split(rows.sum(0), 3)
    measure = statistics.METRICS[metric]
    return {
        "value_a": float(measure(totals, first)),
        "value_b": float(measure(totals, second)),
        **statistics.paired_difference(metric, rows, subjects, classes),
    }


def _per_split(
    metric: str, sides: Sequence[Side], keys: Sequence[Key], classes: int
) -> dict[str, float]:
    """Return split -> difference, in the order of the splits' first clips."""
    found = {}
    for split in dict.fromkeys(split for _, split in keys):
        members = [key for key in keys if key[1] == split]
        truth = np.array([sides[0][key][0] for key in members], dtype=np.int64)
        hits = [np.array([side[key][2] for key in members]) for side in sides]
        totals, first, second = np.split(statistics.count_rows(truth, hits, classes).sum(0), 3)
        measure = statistics.METRICS[metric]
        found[split] = float(measure(totals, first) - measure(totals, second))
    return found
