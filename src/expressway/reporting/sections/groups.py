"""The results section: a table and figures for everything that is measured alike."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from expressway.core.foreign_text import visible
from expressway.models.evaluation.metrics import regression
from expressway.models.evaluation.protocols import open_set
from expressway.models.evaluation.protocols import regression as regression_tables
from expressway.models.evaluation.protocols.open_set import Openness
from expressway.models.evaluation.protocols.regression import Numbers
from expressway.reporting.cells import metric_names, number
from expressway.reporting.drawing import figures, planes
from expressway.reporting.drawing.planes import Plane
from expressway.reporting.results import SHORT_NAMES, Measure, Summary, is_share, scaled

Array = npt.NDArray[np.float64]
PLOTTED = {
    "classes": ("unweighted_average_recall",),
    "open_set": ("auroc", "oscr"),
    "leave_one_out": ("held_out_recall",),
    "regression": ("concordance_correlation",),
}
# numbers of the second table: beside the headline ones, not instead of them
SECOND = {
    "open_set": (
        "More numbers of open sets; upstream: by the releases' rules for equal scores and OSCR",
        ("tnr_at_tpr95", "dtacc", "auin", "auout", *open_set.UPSTREAM),
    ),
    "regression": (
        "By subject: predictions and true values averaged over a subject's clips",
        tuple(name for name in regression_tables.METRICS if name.endswith("_by_subject")),
    ),
}
FALSE_RATES = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Second:
    """A second table of the same rows."""

    caption: str
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Drawings:
    """The figures of one row, each with a caption."""

    row: Summary
    figures: tuple[tuple[str, Markup], ...]


@dataclass(frozen=True)
class Group:
    """Rows that share one results table, with its interval plots and the rows' own figures."""

    dataset: str
    task: str
    kind: str
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    second: Second | None
    rows: tuple[Summary, ...]
    plots: tuple[Markup, ...]
    drawings: tuple[Drawings, ...]
    raters: tuple[dict[str, Any], ...]


def groups(summaries: Sequence[Summary]) -> list[Group]:
    """Results tables: the rows that share data set, task and way of measuring."""
    keyed: dict[tuple[str, str, str], list[Summary]] = {}
    for summary in summaries:
        keyed.setdefault(summary.group, []).append(summary)
    return [_group(*key, rows) for key, rows in keyed.items()]


def _group(dataset: str, task: str, kind: str, rows: Sequence[Summary]) -> Group:
    names = metric_names(rows)
    caption, beside = SECOND.get(kind, ("", ()))
    second = tuple(name for name in names if name in beside)
    raters = _raters(rows[0]) if kind == "regression" else []
    return Group(
        dataset=dataset,
        task=task,
        kind=kind,
        labels=rows[0].labels,
        metrics=tuple(name for name in names if name not in beside),
        second=Second(caption, second) if second else None,
        rows=tuple(rows),
        plots=tuple(_plot(name, kind, rows, raters) for name in PLOTTED[kind] if name in names),
        drawings=tuple(_drawings(kind, rows)),
        raters=tuple(raters),
    )


def _raters(row: Summary) -> list[dict[str, Any]]:
    return regression_tables.between_raters(row.parts[0])


def _plot(
    name: str, kind: str, rows: Sequence[Summary], raters: Sequence[dict[str, Any]]
) -> Markup:
    measures = [row.measures.get(name, Measure((), None, None, None)) for row in rows]
    estimates = [
        _estimate(row_name(row, rows), name, measure)
        for row, measure in zip(rows, measures, strict=True)
    ]
    title = f"{SHORT_NAMES[name]} of each model with 95 % intervals; the numbers are in the table"
    return figures.interval_plot(title, _axis(name, kind, rows[0], estimates, raters), estimates)


def _estimate(title: str, name: str, measure: Measure) -> figures.Estimate:
    value = measure.pooled if measure.pooled is not None else measure.mean
    scale = 100 if is_share(name) else 1
    return figures.Estimate(
        name=title,
        value=None if value is None else scale * value,
        runs=[scale * run for run in measure.runs] if len(measure.runs) > 1 else [],
        inner=scaled(measure.interval_clips, scale),
        outer=scaled(measure.interval_subjects, scale),
    )


def _axis(
    name: str,
    kind: str,
    row: Summary,
    estimates: Sequence[figures.Estimate],
    raters: Sequence[dict[str, Any]],
) -> figures.Axis:
    if kind == "regression":
        edges = [
            v for e in estimates for pair in (e.inner, e.outer, (e.value,)) if pair for v in pair
        ]
        low = min([0.0, *(float(edge) for edge in edges if edge is not None)])
        agreed = raters[0].get(name) if raters else None
        return figures.Axis(low, 1, SHORT_NAMES[name], agreed, "between raters" if agreed else "")
    chance = {"open_set": 50.0 if name == "auroc" else None}.get(
        kind, 100 / max(1, len(row.labels))
    )
    label = "chance" if chance is not None else ""
    return figures.Axis(0, 100, f"{SHORT_NAMES[name]}, %", chance, label)


def row_name(row: Summary, rows: Sequence[Summary]) -> str:
    """The model alone where that tells the rows apart."""
    alone = sum(other.model == row.model for other in rows) == 1
    return row.model if alone else f"{row.model} · {row.evaluation}"


def _drawings(kind: str, rows: Sequence[Summary]) -> Iterable[Drawings]:
    draw = {"open_set": _open_set, "regression": _scatters}.get(kind)
    for row in rows if draw else ():
        assert draw is not None
        found = tuple(draw(row, visible(row_name(row, rows), 60)))
        if found:
            yield Drawings(row, found)


def _open_set(row: Summary, name: str) -> Iterable[tuple[str, Markup]]:
    """ROC and CCR-FPR curves of all splits, and the scores of known and unknown clips."""
    apart = [one.only(one.predicted) for one in row.parts]
    apart = [one for one in apart if one.known.any() and not one.known.all()]
    if not apart:
        return
    for title, y_label, metric in (
        ("ROC", "true positive rate", "auroc"),
        ("CCR against FPR", "correct classification rate", "oscr"),
    ):
        plane = Plane((0, 1), (0, 1), "false positive rate", y_label)
        right = metric == "oscr"
        runs = [_accepted(one, one.right if right else np.ones(len(one.ids))) for one in apart]
        caption = f"{title}: {SHORT_NAMES[metric]} {number(metric, row.measures[metric].mean)}"
        yield caption, planes.curves(f"{title} of {name}", plane, FALSE_RATES, runs)
    title = f"Scores of known and unknown clips of {name}"
    yield "Scores", planes.histogram(title, *_scores(apart))


def _scores(apart: Sequence[Openness]) -> tuple[str, Array, Array]:
    """The label of the scores, those of known clips, those of unknown ones.

    Every split has a model of its own: their scores share no scale and are standardised.
    """
    label = "confidence of the known classes"
    if len(apart) > 1:
        label += ", each split standardised"
    pairs = [(one, _standard(one.score) if len(apart) > 1 else one.score) for one in apart]
    known = np.concatenate([score[one.known] for one, score in pairs])
    return label, known, np.concatenate([score[~one.known] for one, score in pairs])


def _standard(scores: Array) -> Array:
    return (scores - scores.mean()) / (scores.std() or 1.0)


def _accepted(found: Openness, counted: Array) -> Array:
    """Share of the known clips that are counted and accepted, at each of ``FALSE_RATES``."""
    unknown = np.sort(found.score[~found.known])
    order = np.argsort(-found.score[found.known], kind="stable")
    scores = found.score[found.known][order]
    rates = 1 - np.searchsorted(unknown, scores, "left") / len(unknown)
    shares = np.cumsum(counted[found.known][order]) / len(scores)
    return np.interp(FALSE_RATES, [0.0, *rates, 1.0], [0.0, *shares, float(shares[-1])])


def _scatters(row: Summary, name: str) -> Iterable[tuple[str, Markup]]:
    """Predicted against true values of every target, clips and subjects."""
    first = row.parts[0]
    seen: Numbers = first.only(first.predicted)
    people = regression_tables.by_subject(seen)
    for index, target in enumerate(seen.targets):
        told = visible(target.replace("_", " "), 40)
        clips, subjects = (
            (one.truth[known, index], one.guess[known, index])
            for one in (seen, people)
            for known in [np.isfinite(one.truth[:, index])]
        )
        if len(clips[0]):
            numbers = ", ".join(
                f"{SHORT_NAMES[metric]} {number(metric, _finite(regression.value(metric, *clips)))}"
                for metric in ("concordance_correlation", "pearson_correlation")
            )
            title = f"{told}: values predicted by {name} against true ones"
            drawn = planes.scatter(title, ("true value", "predicted value"), clips, subjects)
            yield f"{told}: {numbers}", drawn


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
