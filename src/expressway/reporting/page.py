"""The report: one self-contained, autoescaped HTML file with a strict content policy."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from expressway.core import foreign_text as text
from expressway.faces.agreement import VISIBLE_UNITS
from expressway.faces.movements import NEAREST_UNIT
from expressway.reporting import ReportSpec
from expressway.reporting.cells import bounds, number, signed
from expressway.reporting.drawing import figures, filmstrips
from expressway.reporting.open_dataset import OpenDataset
from expressway.reporting.results import (
    SHORT_NAMES,
    Summary,
    metric_name,
    read_comparisons,
    summarise,
)
from expressway.reporting.sections import (
    captions,
    methods_text,
    provenance,
    time,
    training,
    windows,
)
from expressway.reporting.sections.comparisons import comparisons
from expressway.reporting.sections.groups import groups

RECALL_COLUMNS = 8
MOVEMENTS = {unit: name for name, unit in NEAREST_UNIT.items()}


@dataclass(frozen=True)
class DatasetView:
    """Everything the page says about one data set."""

    data: OpenDataset
    choice: filmstrips.Choice | None
    found: list[filmstrips.Found] | None
    statuses: dict[str, int]
    strips: list[filmstrips.Strip]
    looks: list[windows.Look]
    told: list[captions.Told]


def render(spec: ReportSpec) -> str:
    """The whole page as text."""
    template = environment().get_template("report.html.j2")
    return template.render(**_context(spec))


def tables_page(title: str, tables: Sequence[Markup]) -> str:
    """A page of plain tables, given as HTML, as text."""
    style = asset("report.css")
    template = environment().get_template("tables.html.j2")
    return template.render(title=title, tables=tables, style=style, policy=policy(style, ""))


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
        size=text.size,
        short=text.short,
        yaml=provenance.as_yaml,
        metric=lambda name: SHORT_NAMES.get(name, metric_name(name)),
        words=lambda name: text.visible(str(name).replace("_", " ")),
    )
    environment.globals.update(
        shade=figures.shade,
        stacked_bar=figures.stacked_bar,
        bounds=bounds,
        number=number,
        signed=signed,
    )
    return environment


def _context(spec: ReportSpec) -> dict[str, Any]:
    summaries = summarise(spec.evaluations)
    datasets = [OpenDataset(dataset) for dataset in spec.datasets]
    variants = provenance.variants(datasets)
    models = provenance.models(spec.models)
    style, script = asset("report.css"), asset("report.js")
    return {
        "spec": spec,
        "summaries": summaries,
        "groups": groups(summaries),
        "comparisons": comparisons(read_comparisons(spec.comparisons)),
        "datasets": [_view(dataset, summaries, spec.thumbnails) for dataset in datasets],
        "courses": training.courses(models),
        "timeline": time.timeline(spec.benchmarks),
        "variants": variants,
        "distinct": provenance.distinct(variants),
        "models": models,
        "methods": methods_text.paragraphs(datasets, variants, summaries, models, spec.versions),
        "works": methods_text.works(variants, summaries),
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


def _view(dataset: OpenDataset, summaries: Sequence[Summary], thumbnails: bool) -> DatasetView:
    evaluated = any(s.facts.get("dataset") == dataset.name for s in summaries)
    return DatasetView(
        data=dataset,
        choice=filmstrips.choose(dataset, summaries, thumbnails),
        found=None if evaluated else filmstrips.found(dataset),
        statuses=filmstrips.found_statuses(dataset),
        strips=[] if evaluated else filmstrips.found_strips(dataset, thumbnails),
        looks=windows.looks(dataset, thumbnails),
        told=captions.told(dataset, thumbnails),
    )
