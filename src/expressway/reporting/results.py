"""Evaluations read from disk and summed up over splits and seeds."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from expressway.errors import StoreError
from expressway.evaluation import metrics, statistics
from expressway.evaluation.metrics import Outcomes
from expressway.evaluation.statistics import Interval

RECALLS = ("unweighted_average_recall", "weighted_average_recall")
SHORT_NAMES = {"unweighted_average_recall": "UAR", "weighted_average_recall": "WAR"}
Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """One folder results/evaluations/{model}/{split}-seed{seed}/{evaluation}."""

    folder: Path
    facts: dict[str, Any]
    outcomes: Outcomes

    @property
    def key(self) -> tuple[str, str]:
        """What the rows of the results table are: model and evaluation."""
        return str(self.facts["model"]), str(self.facts["evaluation"])


@dataclass(frozen=True)
class Measure:
    """One metric of one model: shares between 0 and 1, None where it is undefined.

    `strict` is the pooled value when clips without a prediction count as errors, None where
    every clip has one.
    """

    runs: tuple[float, ...]
    pooled: float | None
    interval_clips: Interval | None
    interval_subjects: Interval | None
    strict: float | None = None

    @property
    def mean(self) -> float | None:
        """Mean over runs (splits and seeds)."""
        return float(np.mean(self.runs)) if self.runs else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation over runs; undefined for a single run."""
        return float(np.std(self.runs, ddof=1)) if len(self.runs) > 1 else None


@dataclass(frozen=True)
class Summary:
    """A row of the results table: one model under one evaluation, all splits together."""

    model: str
    evaluation: str
    facts: dict[str, Any]
    labels: tuple[str, ...]
    splits: tuple[str, ...]
    clips: int
    missing: int
    measures: Mapping[str, Measure]
    confusion: Counts
    members: tuple[Evaluation, ...]

    @property
    def trainable(self) -> int | None:
        """Trained parameters, None when the evaluation does not say."""
        return (self.facts.get("parameters") or {}).get("trainable")

    @property
    def total(self) -> int | None:
        """All parameters that a prediction uses, None when the evaluation does not say."""
        return (self.facts.get("parameters") or {}).get("total")

    @property
    def has_confusion(self) -> bool:
        """Whether any clip has both a label and a prediction."""
        return bool(self.confusion.any())

    def class_count(self, index: int) -> int:
        """Number of predicted clips of a class, by its position in `labels`."""
        return int(self.confusion[index].sum())

    def class_recall(self, index: int) -> float | None:
        """Recall of a class over all splits, None for a class without clips."""
        total = self.class_count(index)
        return float(self.confusion[index, index] / total) if total else None

    @property
    def group(self) -> tuple[str, str, tuple[str, ...]]:
        """Rows that can stand in one table: the same data, task and metrics."""
        return str(self.facts["dataset"]), str(self.facts["task"]), tuple(self.measures)


def read_evaluation(folder: Path) -> Evaluation:
    """Read one evaluation folder; StoreError names the file that is missing or broken."""
    path = folder / "metrics.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); rerun its evaluate job") from error
    return Evaluation(folder, facts, metrics.read(folder / "predictions.parquet"))


def summarise(folders: Iterable[Path]) -> list[Summary]:
    """One summary per model and evaluation, in the order in which they first appear."""
    grouped: dict[tuple[str, str], list[Evaluation]] = {}
    for folder in folders:
        evaluation = read_evaluation(folder)
        grouped.setdefault(evaluation.key, []).append(evaluation)
    return [_summary(members) for members in grouped.values()]


def _summary(members: Sequence[Evaluation]) -> Summary:
    facts = members[0].facts
    labels = tuple(facts["labels"])
    _same_labels(members, labels)
    matrices = [confusion(member.outcomes) for member in members]
    return Summary(
        model=str(facts["model"]),
        evaluation=str(facts["evaluation"]),
        facts=facts,
        labels=labels,
        splits=tuple(dict.fromkeys(s for m in members for s in m.outcomes.splits)),
        clips=sum(len(member.outcomes.ids) for member in members),
        missing=sum(int((~member.outcomes.predicted).sum()) for member in members),
        measures={name: _measure(name, members) for name in _metric_names(members)},
        confusion=np.sum(matrices, axis=0),
        members=tuple(members),
    )


def _same_labels(members: Sequence[Evaluation], labels: tuple[str, ...]) -> None:
    for member in members:
        if tuple(member.facts["labels"]) != labels:
            raise StoreError(
                f"{member.folder}: labels differ from those of {members[0].folder}; "
                "evaluations of one model under one name must share their labels"
            )


def _metric_names(members: Sequence[Evaluation]) -> list[str]:
    found = dict.fromkeys(name for member in members for name in member.facts["metrics"])
    return [name for name in RECALLS if name in found] + [n for n in found if n not in RECALLS]


def confusion(outcomes: Outcomes, split: str | None = None) -> Counts:
    """Counts (classes, classes) with the truth in rows, of one split or of all clips."""
    classes = len(outcomes.labels)
    seen = outcomes.predicted
    if split is not None:
        seen = seen & (np.array(outcomes.splits) == split)
    cells = outcomes.truth[seen] * classes + outcomes.guess[seen]
    counts = np.bincount(cells, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.float64)


def recall(name: str, matrix: Counts) -> float | None:
    """UAR or WAR of confusion counts (classes, classes); None where there is no clip."""
    value = float(statistics.METRICS[name](matrix.sum(1), np.diagonal(matrix)))
    return value if np.isfinite(value) else None


def _measure(name: str, members: Sequence[Evaluation]) -> Measure:
    if name not in RECALLS:
        return _reported(name, members)
    runs = tuple(value for member in members for value in _runs(name, member))
    if len(members) == 1:
        return replace(_reported(name, members), runs=runs, strict=_strict(name, members))
    return _pooled(name, members, runs)


def _reported(name: str, members: Sequence[Evaluation]) -> Measure:
    """The metric as metrics.json gives it; pooling over folders is left undefined."""
    entries = [member.facts["metrics"].get(name) or {} for member in members]
    runs = tuple(float(entry["value"]) for entry in entries if entry.get("value") is not None)
    if len(members) > 1 or not runs:
        return Measure(runs, None, None, None)
    entry = entries[0]
    clips, subjects = entry.get("interval_clips"), entry.get("interval_subjects")
    return Measure(runs, runs[0], as_interval(clips), as_interval(subjects))


def as_interval(values: Sequence[float | None] | None) -> Interval | None:
    """A pair of numbers, None where either of them is missing."""
    if not values or values[0] is None or values[1] is None:
        return None
    return float(values[0]), float(values[1])


def _runs(name: str, member: Evaluation) -> list[float]:
    """The metric per test split: one folder may hold the test parts of several splits."""
    splits = dict.fromkeys(member.outcomes.splits)
    if len(splits) <= 1:
        return list(_reported(name, [member]).runs)
    values = (recall(name, confusion(member.outcomes, split)) for split in splits)
    return [value for value in values if value is not None]


def _pooled(name: str, members: Sequence[Evaluation], runs: tuple[float, ...]) -> Measure:
    """The metric over all test clips at once; a clip predicted under several seeds counts once."""
    hits: dict[tuple[str, str], list[float]] = {}
    facts: dict[tuple[str, str], tuple[int, str | None]] = {}
    for member in members:
        one = member.outcomes
        for i in np.flatnonzero(one.predicted):
            key = (one.ids[i], one.splits[i])
            hits.setdefault(key, []).append(float(one.hits[i]))
            facts[key] = (int(one.truth[i]), one.subjects[i])
    if not hits:
        return Measure(runs, None, None, None)
    classes = len(members[0].outcomes.labels)
    truths = np.array([facts[key][0] for key in hits], dtype=np.int64)
    shares = np.array([np.mean(values) for values in hits.values()])
    rows = statistics.count_rows(truths, [shares], classes)
    found = statistics.estimate(name, rows, [facts[key][1] for key in hits], classes)
    strict = _strict(name, members)
    return Measure(
        runs, found["value"], found["interval_clips"], found["interval_subjects"], strict
    )


def _strict(name: str, members: Sequence[Evaluation]) -> float | None:
    """The pooled metric with every clip without a prediction counted as an error."""
    found = [member.outcomes for member in members]
    if all(one.predicted.all() for one in found):
        return None
    truth = np.concatenate([one.truth for one in found])
    hits = np.concatenate([one.hits for one in found])
    classes = len(found[0].labels)
    totals, right = np.split(statistics.count_rows(truth, [hits], classes).sum(0), 2)
    return float(statistics.METRICS[name](totals, right))


def metric_name(name: str) -> str:
    """A metric's key as words: `unweighted_average_recall` → Unweighted average recall."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def read_comparisons(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Paired comparisons as their files state them, one dict per compared metric."""
    found: list[dict[str, Any]] = []
    for path in paths:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: cannot be read ({error}); rerun its job") from error
        found.extend(content if isinstance(content, list) else [content])
    return found
