"""Evaluations read from disk and summed up over splits and seeds."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from expressway.core.errors import StoreError
from expressway.models.evaluation import bootstrap, kinds, tables
from expressway.models.evaluation.bootstrap import Group, Interval
from expressway.models.evaluation.kinds import Kind
from expressway.models.evaluation.metrics import recalls
from expressway.models.evaluation.protocols import classes as metrics
from expressway.models.evaluation.protocols import leave_one_out
from expressway.models.evaluation.protocols.classes import Outcomes
from expressway.models.evaluation.protocols.regression import BY_SUBJECT

RECALLS = ("unweighted_average_recall", "weighted_average_recall")
SHORT_NAMES = {
    "unweighted_average_recall": "UAR",
    "weighted_average_recall": "WAR",
    "auroc": "AUROC",
    "oscr": "OSCR",
    "accuracy": "ACC",
    "accuracy_with_rejection": "ACC with rejection",
    "tnr_at_tpr95": "TNR@TPR95",
    "dtacc": "DTACC",
    "auin": "AUIN",
    "auout": "AUOUT",
    "auroc_upstream": "AUROC upstream",
    "oscr_upstream": "OSCR upstream",
    "held_out_recall": "Held-out recall",
    "seen_unweighted_average_recall": "UAR seen",
    "pearson_correlation": "PCC",
    "concordance_correlation": "CCC",
    "mean_absolute_error": "MAE",
    "root_mean_squared_error": "RMSE",
    "pearson_correlation_by_subject": "PCC by subject",
    "concordance_correlation_by_subject": "CCC by subject",
    "mean_absolute_error_by_subject": "MAE by subject",
    "root_mean_squared_error_by_subject": "RMSE by subject",
}
Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """One folder results/evaluations/{model}/{split}-seed{seed}/{evaluation}."""

    folder: Path
    facts: dict[str, Any]
    outcomes: Any  # a table of the kind that the protocol makes

    @property
    def key(self) -> tuple[str, str]:
        """What the rows of the results table are: model and evaluation."""
        return str(self.facts["model"]), str(self.facts["evaluation"])


@dataclass(frozen=True)
class Measure:
    """One metric of one model: shares between 0 and 1, None where it is undefined.

    `strict` is the pooled value when clips without a prediction count as errors, None where
    every clip has one. `averaged` tells that the pooled value is the mean over runs, since
    each run had classes of its own.
    """

    runs: tuple[float, ...]
    pooled: float | None
    interval_clips: Interval | None
    interval_subjects: Interval | None
    strict: float | None = None
    averaged: bool = False

    @property
    def mean(self) -> float | None:
        """Mean over runs (splits and seeds)."""
        return float(np.mean(self.runs)) if self.runs else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation over runs; undefined for a single run."""
        return float(np.std(self.runs, ddof=1)) if len(self.runs) > 1 else None

    @property
    def interval(self) -> Interval | None:
        """The interval over subjects, else over clips."""
        return self.interval_subjects or self.interval_clips


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
    def kind(self) -> str:
        """What is measured: `classes`, `open_set`, `leave_one_out` or `regression`."""
        return kinds.kind(self.facts.get("protocol")).name

    @property
    def parts(self) -> list[Any]:
        """The tables that are measured apart: splits, or seeds where splits are joined."""
        measured = kinds.kind(self.facts.get("protocol"))
        outcomes = [member.outcomes for member in self.members]
        return measured.parts(tables.by_split(outcomes)) if measured.parts else outcomes

    @property
    def openness(self) -> tuple[float, float] | None:
        """The least and the largest openness of the splits; None outside open sets."""
        found = [float(m.facts["openness"]) for m in self.members if "openness" in m.facts]
        return (min(found), max(found)) if found else None

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

    @property
    def shown_classes(self) -> list[int]:
        """Positions in `labels` of the classes that were tested: all, or those left out."""
        if self.kind == "classes":
            return list(range(len(self.labels)))
        return [index for index in range(len(self.labels)) if self.confusion[index].any()]

    def class_count(self, index: int) -> int:
        """Number of predicted clips of a class, by its position in `labels`."""
        return int(self.confusion[index].sum())

    def class_recall(self, index: int) -> float | None:
        """Recall of a class over all splits, None for a class without clips."""
        total = self.class_count(index)
        return float(self.confusion[index, index] / total) if total else None

    @property
    def group(self) -> tuple[str, str, str]:
        """Rows that can stand in one table: the same data, the same task, measured alike."""
        numbers = ", ".join(self.facts.get("targets") or []) if self.kind == "regression" else ""
        other = self.facts.get("unknown_from")
        dataset = (
            f"{self.facts['dataset']}, unknown from {other}" if other else self.facts["dataset"]
        )
        return str(dataset), numbers or str(self.facts["task"]), self.kind


def read_evaluation(folder: Path) -> Evaluation:
    """Read one evaluation folder; StoreError names the file that is missing or broken."""
    path = folder / "metrics.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read ({error}); rerun its evaluate job") from error
    measured = kinds.kind(facts.get("protocol"))
    return Evaluation(folder, facts, measured.read(folder / "predictions.parquet"))


def summarise(folders: Iterable[Path]) -> list[Summary]:
    """One summary per model and evaluation, in the order in which they first appear."""
    grouped: dict[tuple[str, str], list[Evaluation]] = {}
    for folder in folders:
        evaluation = read_evaluation(folder)
        grouped.setdefault(evaluation.key, []).append(evaluation)
    return [_summary(members) for members in grouped.values()]


def _summary(members: Sequence[Evaluation]) -> Summary:
    facts = members[0].facts
    kind = kinds.kind(facts.get("protocol"))
    return Summary(
        model=str(facts["model"]),
        evaluation=str(facts["evaluation"]),
        facts=facts,
        labels=_labels(kind, members),
        splits=tuple(dict.fromkeys(s for m in members for s in m.outcomes.splits)),
        clips=sum(len(member.outcomes.ids) for member in members),
        missing=sum(int((~member.outcomes.predicted).sum()) for member in members),
        measures={name: _measure(kind, name, members) for name in _metric_names(members)},
        confusion=_confusion(kind, members),
        members=tuple(members),
    )


def _labels(kind: Kind, members: Sequence[Evaluation]) -> tuple[str, ...]:
    """The classes of the test clips; every split of an open set knows others of them."""
    facts = members[0].facts
    key = {"open_set": "all_labels", "regression": "targets"}.get(kind.name, "labels")
    for member in members:
        if member.facts[key] != facts[key]:
            raise StoreError(
                f"{member.folder}: {key.replace('_', ' ')} differ from those of "
                f"{members[0].folder}; evaluations of one model under one name must share them"
            )
    return () if kind.name == "regression" else tuple(facts[key])


def _confusion(kind: Kind, members: Sequence[Evaluation]) -> Counts:
    """Counts of all members; of a model with a held-out class the row of this class only."""
    if kind.name not in ("classes", "leave_one_out"):
        return np.zeros((0, 0))
    matrices = [confusion(member.outcomes) for member in members]
    if kind.name == "leave_one_out":
        for matrix, member in zip(matrices, members, strict=True):
            matrix[np.setdiff1d(range(len(matrix)), leave_one_out.held_out(member.outcomes))] = 0
    return np.asarray(np.sum(matrices, axis=0))


def _metric_names(members: Sequence[Evaluation]) -> list[str]:
    found = dict.fromkeys(name for member in members for name in member.facts["metrics"])
    return [name for name in RECALLS if name in found] + [n for n in found if n not in RECALLS]


def confusion(outcomes: Outcomes, split: str | None = None) -> Counts:
    """Counts (classes, classes) with the truth in rows, of one split or of all clips."""
    if split is not None:
        outcomes = outcomes.only(np.array(outcomes.splits) == split)
    return metrics.confusion(outcomes).astype(np.float64)


def recall(name: str, matrix: Counts) -> float | None:
    """UAR or WAR of confusion counts (classes, classes); None where there is no clip."""
    value = float(recalls.METRICS[name](matrix.sum(1), np.diagonal(matrix)))
    return value if np.isfinite(value) else None


def _measure(kind: Kind, name: str, members: Sequence[Evaluation]) -> Measure:
    if kind.group is not None and kind.parts is not None and name in kind.metrics:
        return _grouped(kind, name, members)
    if name not in RECALLS:
        found = _reported(name, members)
        return replace(found, pooled=found.mean, averaged=True)
    runs = tuple(value for member in members for value in _runs(name, member))
    if len(members) == 1:
        return replace(_reported(name, members), runs=runs, strict=_strict(name, members))
    return _pooled(name, members, runs)


def _grouped(kind: Kind, name: str, members: Sequence[Evaluation]) -> Measure:
    """The metric per split, and of all splits as the kind joins them, with its intervals."""
    assert kind.group is not None
    assert kind.parts is not None
    splits = tables.by_split([member.outcomes for member in members])
    apart = [kind.group(one, name) for _, one in splits]
    runs = tuple(group.value for group in apart if np.isfinite(group.value))
    averaged = kind.name != "regression"
    if len(splits) == 1:
        return replace(_reported(name, members), strict=_strict_mean(name, members), averaged=True)
    joined: list[Group] = [kind.group(one, name) for one in kind.parts(splits)]
    found = bootstrap.estimate(joined)
    clips = None if name.endswith(BY_SUBJECT) else found["interval_clips"]
    strict = _strict_mean(name, members)
    return Measure(runs, found["value"], clips, found["interval_subjects"], strict, averaged)


def _strict_mean(name: str, members: Sequence[Evaluation]) -> float | None:
    """The mean over members with clips without a prediction as errors, where that is defined."""
    found = [(m.facts.get("missing_counted_as_wrong") or {}).get(name) for m in members]
    if all(value is None for value in found):
        return None
    values = [(m.facts["metrics"].get(name) or {}).get("value") for m in members]
    known = [a if a is not None else b for a, b in zip(found, values, strict=True)]
    return float(np.mean([value for value in known if value is not None]))


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


def scaled(interval: Interval | None, scale: float) -> Interval | None:
    """An interval in the units of an axis."""
    return None if interval is None else (scale * interval[0], scale * interval[1])


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
    rows = recalls.count_rows(truths, [shares], classes)
    found = recalls.estimate(name, rows, [facts[key][1] for key in hits], classes)
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
    totals, right = np.split(recalls.count_rows(truth, [hits], classes).sum(0), 2)
    return float(recalls.METRICS[name](totals, right))


def is_share(name: str) -> bool:
    """Whether a metric is a share that is told in percent; correlations and errors are not."""
    return not name.removesuffix(BY_SUBJECT).endswith(("_correlation", "_error"))


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
