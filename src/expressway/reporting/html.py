"""The report: one self-contained, autoescaped HTML file with a strict content policy."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from expressway.language.agreement import VISIBLE_UNITS
from expressway.language.captioners.movements import NEAREST_UNIT
from expressway.reporting import (
    ReportSpec,
    captions,
    coverage,
    figures,
    filmstrips,
    prose,
    provenance,
    text,
)
from expressway.reporting.coverage import OpenDataset
from expressway.reporting.results import (
    RECALLS,
    SHORT_NAMES,
    Summary,
    as_interval,
    metric_name,
    read_comparisons,
    summarise,
)
from expressway.reporting.tables import metric_names, number

RECALL_COLUMNS = 8
MOVEMENTS = {unit: name for name, unit in NEAREST_UNIT.items()}


@dataclass(frozen=True)
class Group:
    """Rows that share one results table, with its interval plot."""

    dataset: str
    task: str
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[Summary, ...]
    plot: Markup | None


@dataclass(frozen=True)
class DatasetView:
    """Everything the page says about one data set."""

    data: OpenDataset
    choice: filmstrips.Choice | None
    found: list[filmstrips.Found] | None
    statuses: dict[str, int]
    strips: list[filmstrips.Strip]
    told: list[captions.Told]


def render(spec: ReportSpec) -> str:
    """The whole page as text."""
    template = environment().get_template("report.html.j2")
    return template.render(**_context(spec))


def environment() -> Environment:
    """Templates that escape whatever comes from outside, with the filters that pages share."""
    environment = Environment(
        loader=PackageLoader("expressway.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        visible=text.visible,
        percent=text.percent,
        duration=text.duration,
        count=text.count,
        short=provenance.short,
        yaml=provenance.as_yaml,
        metric=lambda name: SHORT_NAMES.get(name, metric_name(name)),
        words=lambda name: text.visible(str(name).replace("_", " ")),
    )
    environment.globals.update(
        shade=figures.shade, bar=figures.bar, stacked_bar=figures.stacked_bar, number=number
    )
    return environment


def _context(spec: ReportSpec) -> dict[str, Any]:
    summaries = summarise(spec.evaluations)
    datasets = [OpenDataset(dataset) for dataset in spec.datasets]
    variants = provenance.variants(datasets)
    models = provenance.models(spec.models)
    times = coverage.rule_times(spec.benchmarks)
    style, script = asset("report.css"), asset("report.js")
    return {
        "spec": spec,
        "summaries": summaries,
        "groups": groups(summaries),
        "comparisons": comparisons(read_comparisons(spec.comparisons)),
        "datasets": [_view(dataset, summaries, spec.thumbnails) for dataset in datasets],
        "times": times,
        "variants": variants,
        "distinct": provenance.distinct(variants),
        "models": models,
        "methods": prose.paragraph(datasets, variants, summaries, models, spec.versions),
        "works": prose.works(variants, summaries),
        "recall_columns": RECALL_COLUMNS,
        "movements": MOVEMENTS,
        "visible_units": VISIBLE_UNITS,
        "style": style,
        "script": script,
        "policy": policy(style, script),
    }


def asset(name: str) -> str:
    """The text of a file beside the templates."""
    folder = resources.files("expressway.reporting") / "templates"
    return (folder / name).read_text(encoding="utf-8")


def policy(style: str, script: str) -> str:
    """The content security policy: nothing from outside, only our own style and script run."""
    return "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def groups(summaries: Sequence[Summary]) -> list[Group]:
    """Results tables: the rows that share data set, task and metrics."""
    keyed: dict[Any, list[Summary]] = {}
    for summary in summaries:
        keyed.setdefault(summary.group, []).append(summary)
    return [_group(rows) for rows in keyed.values()]


def _group(rows: Sequence[Summary]) -> Group:
    first = rows[0]
    names = tuple(metric_names(rows))
    shown = next((name for name in names if name in RECALLS), None)
    plot = _recall_plot(shown, rows) if shown else None
    dataset, task, _ = first.group
    return Group(dataset, task, first.labels, names, tuple(rows), plot)


def _recall_plot(name: str, rows: Sequence[Summary]) -> Markup:
    chance = 100 / len(rows[0].labels)
    axis = figures.Axis(0, 100, f"{SHORT_NAMES[name]}, %", chance, "chance")
    estimates = []
    for row in rows:
        measure = row.measures[name]
        value = measure.pooled if measure.pooled is not None else measure.mean
        estimates.append(
            figures.Estimate(
                name=_row_name(row, rows),
                value=None if value is None else 100 * value,
                runs=[100 * run for run in measure.runs] if len(measure.runs) > 1 else [],
                inner=_scaled(measure.interval_clips),
                outer=_scaled(measure.interval_subjects),
            )
        )
    return figures.interval_plot(
        f"{SHORT_NAMES[name]} of each model with 95 % intervals; the numbers are in the table",
        axis,
        estimates,
    )


def _row_name(row: Summary, rows: Sequence[Summary]) -> str:
    """The model alone where that tells the rows apart."""
    alone = sum(other.model == row.model for other in rows) == 1
    return row.model if alone else f"{row.model} · {row.evaluation}"


def _scaled(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if interval is None else (100 * interval[0], 100 * interval[1])


def comparisons(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Paired comparisons with a plot of the differences in percentage points."""
    estimates = [_difference(entry) for entry in found]
    edges = [abs(v) for e in estimates for pair in (e.inner, e.outer) if pair for v in pair]
    reach = max([1.0, *edges]) * 1.1
    axis = figures.Axis(-reach, reach, "percentage points", 0.0, "no difference")
    title = "Paired differences with 95 % intervals; the numbers are in the table"
    plot = figures.interval_plot(title, axis, estimates) if estimates else None
    return {"rows": list(zip(found, estimates, strict=True)), "plot": plot}


def _difference(entry: Mapping[str, Any]) -> figures.Estimate:
    value = entry.get("difference")
    return figures.Estimate(
        name=f"{entry.get('a')} {text.MINUS} {entry.get('b')}",
        value=None if value is None else 100 * float(value),
        runs=[100 * float(run) for run in (entry.get("splits") or {}).values()],
        inner=_scaled(as_interval(entry.get("interval_clips"))),
        outer=_scaled(as_interval(entry.get("interval_subjects"))),
    )


def _view(dataset: OpenDataset, summaries: Sequence[Summary], thumbnails: bool) -> DatasetView:
    evaluated = any(s.facts.get("dataset") == dataset.name for s in summaries)
    return DatasetView(
        data=dataset,
        choice=filmstrips.choose(dataset, summaries, thumbnails),
        found=None if evaluated else filmstrips.found(dataset),
        statuses=filmstrips.found_statuses(dataset),
        strips=[] if evaluated else filmstrips.found_strips(dataset, thumbnails),
        told=captions.told(dataset, thumbnails),
    )
