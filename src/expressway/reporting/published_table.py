"""One table of a paper, with our results beside its numbers.

The papers' numbers stand in ``config/tables/published.csv``: a line per number, with where it
was printed, what the method saw in training and how its epoch was chosen. A difference is shown
where both are there; it is no claim, since data and selection may differ: the columns say so.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from expressway.core import foreign_text as text
from expressway.core.errors import ConfigError
from expressway.reporting import ReportSpec, build, results_table
from expressway.reporting import cells as tables
from expressway.reporting.results import SHORT_NAMES, Measure, Summary, metric_name, summarise

COLUMNS = (
    *("table", "row", "column", "metric", "value"),
    *("source", "modality", "seen_in_training", "selection", "folds", "note"),
)
CLASS_RECALL = "recall_of_"


@dataclass(frozen=True)
class Published:
    """One printed number; shares between 0 and 1, correlations and errors as they are."""

    row: str
    column: str
    metric: str
    value: float
    source: str
    modality: str
    seen_in_training: str
    selection: str
    folds: str
    note: str


@dataclass(frozen=True)
class TableSpec:
    """A table: its rows with, per column, the evaluation folders that make a cell."""

    name: str
    title: str
    source: str
    metrics: Sequence[str]
    rows: Sequence[tuple[str, Mapping[str, Sequence[Path]]]]
    published: Path


def read_published(path: Path, table: str) -> list[Published]:
    """Return the printed numbers of one table, in the order of the file.

    Raises:
        ConfigError: a line does not fit; names the line.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, strict=True)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ConfigError(f"{path}, line 1: expected columns {', '.join(COLUMNS)}")
        lines = [(reader.line_num, line) for line in reader]
    return [_published(path, number, line) for number, line in lines if line["table"] == table]


def _published(path: Path, number: int, line: dict[str, str]) -> Published:
    try:
        value = float(line["value"])
    except ValueError:
        raise ConfigError(f"{path}, line {number}: value {line['value']!r} is no number") from None
    rest = {key: line[key] for key in COLUMNS[5:]}
    return Published(line["row"], line["column"], line["metric"], value, **rest)


def write(spec: TableSpec, report: ReportSpec, folder: Path) -> list[Path]:
    """Write ``folder``/NAME.{csv,md,tex,html}; return the paths.

    Args:
        report: what the page shows below the table: the evaluations of its cells.
    """
    cells = _cells(spec)
    readable = _readable(spec, cells)
    written = results_table.save(spec.name, folder, tables.texts(_numbers(spec, cells), [readable]))
    sheet = Sheet(readable.caption, spec.metrics, cells)
    return [*written, build(replace(report, table=sheet), folder / f"{spec.name}.html")]


@dataclass(frozen=True)
class Cell:
    """A row and a column of the table: our result, the paper's numbers, either may be missing."""

    row: str
    column: str
    ours: Summary | None
    paper: Mapping[str, Published]

    def measure(self, metric: str) -> Measure | None:
        """Return our value of a metric."""
        if self.ours is None:
            return None
        if not metric.startswith(CLASS_RECALL):
            return self.ours.measures.get(metric)
        label = metric.removeprefix(CLASS_RECALL)
        if label not in self.ours.labels:
            return None
        value = self.ours.class_recall(self.ours.labels.index(label))
        return Measure(() if value is None else (value,), value, None, None)

    def printed(self, metric: str) -> float | None:
        """Return the paper's value of a metric."""
        return self.paper[metric].value if metric in self.paper else None

    def difference(self, metric: str) -> float | None:
        """Return ours minus the paper's, None where either is missing."""
        measure, printed = self.measure(metric), self.printed(metric)
        if measure is None or measure.mean is None or printed is None:
            return None
        return measure.mean - printed

    @property
    def facts(self) -> Published | None:
        """Return the paper's conditions, the same for all metrics."""
        return next(iter(self.paper.values()), None)


@dataclass(frozen=True)
class Sheet:
    """The table as the page shows it."""

    caption: str
    metrics: Sequence[str]
    cells: Sequence[Cell]


def _cells(spec: TableSpec) -> list[Cell]:
    printed = read_published(spec.published, spec.name)
    titles = list(dict.fromkeys([title for title, _ in spec.rows] + [p.row for p in printed]))
    ours = dict(spec.rows)
    found = []
    for title in titles:
        columns = dict.fromkeys(
            [*ours.get(title, ()), *(p.column for p in printed if p.row == title)]
        )
        for column in columns:
            folders = ours.get(title, {}).get(column)
            paper = {p.metric: p for p in printed if (p.row, p.column) == (title, column)}
            found.append(Cell(title, column, summarise(folders)[0] if folders else None, paper))
    return found


def _numbers(spec: TableSpec, cells: Sequence[Cell]) -> tables.Table:
    """One column per number, for programs and spreadsheets."""
    parts = ("ours", "std", "low", "high", "paper", "difference")
    described = ("source", "modality", "seen_in_training", "selection", "folds", "note")
    columns = (
        *("row", "column", "model", "evaluation", "clips", "missing"),
        *(f"{metric}_{part}" for metric in spec.metrics for part in parts),
        *("trainable_parameters", "total_parameters", "our_selection"),
        *(f"paper_{name}" for name in described),
    )
    rows = []
    for cell in cells:
        one, facts = cell.ours, cell.facts
        rows.append(
            [
                *(cell.row, cell.column),
                *((one.model, one.evaluation, one.clips, one.missing) if one else [None] * 4),
                *(value for metric in spec.metrics for value in _values(cell, metric)),
                *((one.trainable, one.total, one.facts.get("selection")) if one else [None] * 3),
                *(getattr(facts, name, None) for name in described),
            ]
        )
    return tables.Table(spec.title, columns, tuple(rows))


def _values(cell: Cell, metric: str) -> list[float | None]:
    """Return ours, its spread and interval, the paper's, the difference."""
    measure = cell.measure(metric)
    interval = (measure and measure.interval) or (None, None)
    ours = (measure.mean, measure.std) if measure else (None, None)
    return [*ours, *interval, cell.printed(metric), cell.difference(metric)]


def _readable(spec: TableSpec, cells: Sequence[Cell]) -> tables.Table:
    """Per metric ours, the paper's and the difference, for people."""
    heads = [SHORT_NAMES.get(metric, metric_name(metric)) for metric in spec.metrics]
    columns = (
        *("Method", "Data"),
        *(f"{head} {part}" for head in heads for part in ("ours", "paper", "difference")),
        *("Parameters trained / all", "Our selection", "Paper: trained on; selection; folds"),
    )
    rows = tuple(
        [
            *(cell.row, cell.column),
            *(shown for metric in spec.metrics for shown in _shown(cell, metric)),
            _parameters(cell.ours),
            (cell.ours and cell.ours.facts.get("selection")) or text.NOTHING,
            _conditions(cell.facts),
        ]
        for cell in cells
    )
    caption = f"{spec.title}. The paper's numbers: {spec.source}" if spec.source else spec.title
    return tables.Table(caption, columns, rows)


def _shown(cell: Cell, metric: str) -> tables.Row:
    return [
        tables.measure_text(metric, cell.measure(metric)),
        tables.number(metric, cell.printed(metric)),
        tables.signed(metric, cell.difference(metric)),
    ]


def _parameters(summary: Summary | None) -> str:
    if summary is None:
        return text.NOTHING
    return f"{text.count(summary.trainable)} / {text.count(summary.total)}"


def _conditions(facts: Published | None) -> str:
    if facts is None:
        return text.NOTHING
    shown = [facts.seen_in_training or "?", facts.selection or "?", facts.folds or "?"]
    return "; ".join([*shown, *([facts.note] if facts.note else [])])
