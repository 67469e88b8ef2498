"""The paired difference of two results on the same clips."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from expressway.core.errors import ConfigError
from expressway.models.evaluation import bootstrap, tables
from expressway.models.evaluation.bootstrap import Group
from expressway.models.evaluation.metrics import recalls as statistics
from expressway.models.evaluation.protocols.classes import Outcomes
from expressway.models.evaluation.tables import Table

Key = tuple[str, str]
Side = dict[Key, tuple[int, str | None, float]]
Parts = list[tuple[str, Any]]


def same_kind(a: Sequence[Path], b: Sequence[Path], kinds: Sequence[str]) -> None:
    """Raise ConfigError when predictions of different kinds stand side by side."""
    for path, name in zip((*a, *b), kinds, strict=True):
        if name != kinds[0]:
            raise ConfigError(
                f"{path} holds predictions of the kind {name}, {a[0]} of {kinds[0]}: "
                "they cannot be compared"
            )


def recalls(first: Sequence[Outcomes], second: Sequence[Outcomes], metric: str) -> dict[str, Any]:
    """Return the difference of a recall, all splits pooled; a clip counts by its share of hits."""
    _check_classes([*first, *second])
    sides = [_by_clip(first), _by_clip(second)]
    common = [key for key in sides[0] if key in sides[1]]
    if not common:
        raise ConfigError(f"{_name(first)} and {_name(second)} share no clip with a prediction")
    return {
        "a": _name(first),
        "b": _name(second),
        "metric": metric,
        **_difference(metric, sides, common, len(first[0].labels)),
        "clips": len(common),
        "left_out": len(set(sides[0]) ^ set(sides[1])),
        "splits": _per_split(metric, sides, common, len(first[0].labels)),
    }


def _name(found: Sequence[Table]) -> str:
    facts = found[0].facts
    return f"{facts['model']}/{facts['evaluation']}"


def _check_classes(found: Sequence[Outcomes]) -> None:
    for table in found:
        if table.labels != found[0].labels:
            raise ConfigError(
                f"{_name([table])} has the classes {', '.join(table.labels)}, {_name(found)} has "
                f"{', '.join(found[0].labels)}: they cannot be compared"
            )


def _by_clip(found: Sequence[Outcomes]) -> Side:
    """Return (clip, split) -> class, subject, share of right predictions over the tables."""
    hits: dict[Key, list[float]] = {}
    facts: dict[Key, tuple[int, str | None]] = {}
    for table in found:
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
        raise _other_truth(keys[int(np.flatnonzero(truth != other)[0])][0])
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


def _other_truth(clip: str) -> ConfigError:
    return ConfigError(f"clip {clip} has another label in each result: evaluate both again")


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


def groups(
    first: Sequence[Table],
    second: Sequence[Table],
    metric: str,
    parts: Callable[[Parts], list[Any]],
    group: Callable[[Any, str], Group],
) -> dict[str, Any]:
    """Return the difference of a metric over the splits and clips that all tables predicted."""
    sides = _paired(tables.by_split(first), tables.by_split(second))
    if not sides[0]:
        raise ConfigError(f"{_name(first)} and {_name(second)} share no clip with a prediction")
    measured = [[group(one, metric) for one in parts(side)] for side in sides]
    values = [bootstrap.mean_value(side) for side in measured]
    return {
        "a": _name(first),
        "b": _name(second),
        "metric": metric,
        "value_a": values[0],
        "value_b": values[1],
        **bootstrap.difference(*measured),
        "clips": len({key for _, table in sides[0] for key in table.keys}),
        "left_out": len(_predicted(first) ^ _predicted(second)),
        "splits": _by_name(sides, metric, parts, group),
    }


def _predicted(found: Sequence[Table]) -> set[Key]:
    return {
        key for table in found for key, has in zip(table.keys, table.predicted, strict=True) if has
    }


def _paired(first: Parts, second: Parts) -> tuple[Parts, Parts]:
    """Return both sides with the same splits and clips, and check that they mean the same."""
    kept: tuple[Parts, Parts] = ([], [])
    for name in dict.fromkeys(name for name, _ in first):
        sides = [[table for other, table in side if other == name] for side in (first, second)]
        if not sides[1]:
            continue
        together = [table.only(table.predicted) for side in sides for table in side]
        common = set.intersection(*(set(table.keys) for table in together))
        matched = [_matched(table, common) for table in together]
        for table in matched[1:]:
            _check_same(name, matched[0], table)
        if common:
            kept[0].extend((name, table) for table in matched[: len(sides[0])])
            kept[1].extend((name, table) for table in matched[len(sides[0]) :])
    return kept


def _matched(table: Any, common: set[Key]) -> Any:
    """Return the common clips in the order of their names."""
    place = {key: row for row, key in enumerate(table.keys)}
    return table.take(np.array([place[key] for key in sorted(common)], dtype=np.int64))


def _check_same(name: str, table: Any, other: Any) -> None:
    for key in ("labels", "targets", "held_out"):
        mine, theirs = (one.facts.get(key) or [] for one in (table, other))
        if list(mine) != list(theirs):
            raise ConfigError(
                f"split {name}: {_name([table])} has the {key} {', '.join(mine)}, "
                f"{_name([other])} has {', '.join(theirs)}: they cannot be compared"
            )
    same = np.isclose(table.truth, other.truth, rtol=0, atol=0, equal_nan=True)
    if not same.all():
        raise _other_truth(table.ids[int(np.argwhere(~same)[0][0])])


def _by_name(
    sides: tuple[Parts, Parts],
    metric: str,
    parts: Callable[[Parts], list[Any]],
    group: Callable[[Any, str], Group],
) -> dict[str, float | None]:
    """Return split -> difference of the means over seeds."""
    found = {}
    for name in dict.fromkeys(name for name, _ in sides[0]):
        mine = [[pair for pair in side if pair[0] == name] for side in sides]
        values = [bootstrap.mean_value([group(one, metric) for one in parts(m)]) for m in mine]
        a, b = values
        found[name] = None if a is None or b is None else a - b
    return found
