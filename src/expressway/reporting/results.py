"""Evaluations read from disk and summed up over splits and seeds."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from expressway.errors import StoreError

RECALLS = ("unweighted_average_recall", "weighted_average_recall")
SHORT_NAMES = {"unweighted_average_recall": "UAR", "weighted_average_recall": "WAR"}
DRAWS = 2000
SEED = 20231016

Interval = tuple[float, float]
Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """Aligned columns of predictions.parquet; a missing prediction is None."""

    clips: list[str]
    subjects: list[str | None]
    splits: list[str]
    labels: list[str | None]
    predictions: list[str | None]
    statuses: list[str]


@dataclass(frozen=True)
class Evaluation:
    """One folder results/evaluations/{model}/{split}-seed{seed}/{evaluation}."""

    folder: Path
    facts: dict[str, Any]
    predictions: Predictions

    @property
    def key(self) -> tuple[str, str]:
        """What the rows of the results table are: model and evaluation."""
        return str(self.facts["model"]), str(self.facts["evaluation"])


@dataclass(frozen=True)
class Measure:
    """One metric of one model: shares between 0 and 1, None where it is undefined."""

    runs: tuple[float, ...]
    pooled: float | None
    interval_clips: Interval | None
    interval_subjects: Interval | None

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
    from expressway.store import read_table

    path = folder / "metrics.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); rerun its evaluate job") from error
    columns = ("clip_id", "subject", "split", "label", "prediction", "status")
    table = read_table(folder / "predictions.parquet")
    lists = (table.column(name).to_pylist() for name in columns)
    return Evaluation(folder, facts, Predictions(*lists))


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
    predicted = [_pairs(member.predictions, labels) for member in members]
    measures = {name: _measure(name, members, labels) for name in _metric_names(members)}
    return Summary(
        model=str(facts["model"]),
        evaluation=str(facts["evaluation"]),
        facts=facts,
        labels=labels,
        splits=tuple(dict.fromkeys(s for m in members for s in m.predictions.splits)),
        clips=sum(int(member.facts["clips"]) for member in members),
        missing=sum(int(member.facts["missing"]) for member in members),
        measures=measures,
        confusion=sum((confusion(pairs, len(labels)) for pairs in predicted), _zeros(len(labels))),
        members=tuple(members),
    )


def _zeros(classes: int) -> Counts:
    return np.zeros((classes, classes))


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


def _pairs(predictions: Predictions, labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """Indices (clips, 2) of truth and prediction, for clips that have both."""
    index = {label: position for position, label in enumerate(labels)}
    pairs = [
        (index[truth], index[guess])
        for truth, guess in zip(predictions.labels, predictions.predictions, strict=True)
        if truth in index and guess in index
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def confusion(pairs: npt.NDArray[np.int64], classes: int) -> Counts:
    """Confusion counts (classes, classes) with the truth in rows from index pairs (clips, 2)."""
    cells = np.bincount(pairs[:, 0] * classes + pairs[:, 1], minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.float64)


def recall_value(name: str, matrices: Counts) -> Counts:
    """UAR or WAR of confusion counts (..., classes, classes); NaN where there is no clip."""
    totals = matrices.sum(-1)
    hits = np.diagonal(matrices, axis1=-2, axis2=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        if name == "weighted_average_recall":
            return np.asarray(hits.sum(-1) / totals.sum(-1))
        recalls = np.where(totals > 0, hits / totals, 0.0)
        return np.asarray(recalls.sum(-1) / (totals > 0).sum(-1))


def _measure(name: str, members: Sequence[Evaluation], labels: tuple[str, ...]) -> Measure:
    if name not in RECALLS:
        return _reported(name, members)
    runs = tuple(value for member in members for value in _runs(name, member, labels))
    if len(members) == 1:
        reported = _reported(name, members)
        return Measure(runs, reported.pooled, reported.interval_clips, reported.interval_subjects)
    return _pooled(name, members, labels, runs)


def _reported(name: str, members: Sequence[Evaluation]) -> Measure:
    """The metric as metrics.json gives it; pooling over folders is left undefined."""
    entries = [member.facts["metrics"].get(name) or {} for member in members]
    runs = tuple(float(entry["value"]) for entry in entries if entry.get("value") is not None)
    if len(members) > 1 or not runs:
        return Measure(runs, None, None, None)
    entry = entries[0]
    return Measure(
        runs,
        runs[0],
        _interval(entry.get("interval_clips")),
        _interval(entry.get("interval_subjects")),
    )


def _interval(values: Sequence[float | None] | None) -> Interval | None:
    if not values or values[0] is None or values[1] is None:
        return None
    return float(values[0]), float(values[1])


def _runs(name: str, member: Evaluation, labels: tuple[str, ...]) -> list[float]:
    """The metric per test split: one folder may hold the test parts of several splits."""
    splits = dict.fromkeys(member.predictions.splits)
    if len(splits) <= 1:
        return list(_reported(name, [member]).runs)
    pairs = (_pairs(_only(member.predictions, split), labels) for split in splits)
    values = [float(recall_value(name, confusion(some, len(labels)))) for some in pairs]
    return [value for value in values if np.isfinite(value)]


def _only(predictions: Predictions, split: str) -> Predictions:
    rows = [row for row, name in enumerate(predictions.splits) if name == split]
    return Predictions(*([column[row] for row in rows] for column in vars(predictions).values()))


def _pooled(
    name: str, members: Sequence[Evaluation], labels: tuple[str, ...], runs: tuple[float, ...]
) -> Measure:
    by_clip = _grouped(members, labels, "clips")
    value = float(recall_value(name, by_clip.sum(0)))
    if not np.isfinite(value):
        return Measure(runs, None, None, None)
    by_subject = _grouped(members, labels, "subjects")
    return Measure(
        runs, value, bootstrap_interval(name, by_clip), bootstrap_interval(name, by_subject)
    )


def _grouped(members: Sequence[Evaluation], labels: tuple[str, ...], column: str) -> Counts:
    """Confusion counts (groups, classes, classes); clips without a subject are left out."""
    index = {label: position for position, label in enumerate(labels)}
    groups: dict[str, Counts] = {}
    for member in members:
        table = member.predictions
        rows = zip(getattr(table, column), table.labels, table.predictions, strict=True)
        for group, truth, guess in rows:
            if group is not None and truth in index and guess in index:
                matrix = groups.setdefault(group, _zeros(len(labels)))
                matrix[index[truth], index[guess]] += 1
    return np.stack(list(groups.values())) if groups else _zeros(len(labels))[None][:0]


def bootstrap_interval(name: str, groups: Counts) -> Interval | None:
    """Percentile interval (95 %) of a recall when whole groups are drawn with replacement.

    `groups` are confusion counts (groups, classes, classes). None for fewer than two groups.
    """
    size = len(groups)
    if size < 2:
        return None
    generator = np.random.default_rng(SEED)
    flat = groups.reshape(size, -1)
    values = []
    for start in range(0, DRAWS, 100):
        draws = generator.multinomial(size, np.full(size, 1 / size), size=min(100, DRAWS - start))
        values.append(recall_value(name, (draws @ flat).reshape(-1, *groups.shape[1:])))
    low, high = np.nanpercentile(np.concatenate(values), [2.5, 97.5])
    return float(low), float(high)


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
