"""Result tables for papers and spreadsheets: CSV, Markdown, HTML and LaTeX from the same rows."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from expressway.core import foreign_text as text
from expressway.reporting.results import (
    SHORT_NAMES,
    Interval,
    Measure,
    Summary,
    is_share,
    metric_name,
)

Row = list[object]


@dataclass(frozen=True)
class Table:
    """A caption, column headings, and rows of plain values (text, numbers, None)."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def texts(numbers: Table, readable: Sequence[Table]) -> dict[str, str]:
    """The table as text: {"csv": … of ``numbers``, "md": …, "tex": …} of ``readable``."""
    return {
        "csv": to_csv(numbers),
        "md": "\n".join(map(to_markdown, readable)),
        "tex": "\n".join(map(to_latex, readable)),
    }


def number_table(caption: str, summaries: Sequence[Summary]) -> Table:
    """One column per number, for programs and spreadsheets."""
    names = metric_names(summaries)
    facts = ("model", "method", "evaluation", "protocol", "dataset", "task", "prompts")
    counts = ("splits", "clips", "missing", "trainable_parameters", "total_parameters")
    parts = ("mean", "std", "pooled", "clips_low", "clips_high", "subjects_low", "subjects_high")
    columns = (
        *(*facts, *counts, "selection", "openness_low", "openness_high"),
        *(f"{name}_{part}" for name in names for part in parts),
    )
    rows = tuple(
        [
            *(summary.facts.get(fact) for fact in facts),
            *(len(summary.splits), summary.clips, summary.missing),
            *(summary.trainable, summary.total, summary.facts.get("selection")),
            *(summary.openness or (None, None)),
            *(value for name in names for value in _numbers(summary.measures.get(name))),
        ]
        for summary in summaries
    )
    return Table(caption, columns, rows)


def _numbers(measure: Measure | None) -> Row:
    if measure is None:
        return [None] * 7
    clips = measure.interval_clips or (None, None)
    subjects = measure.interval_subjects or (None, None)
    return [measure.mean, measure.std, measure.pooled, *clips, *subjects]


def readable_tables(caption: str, summaries: Sequence[Summary]) -> list[Table]:
    """A table per data set, task and way of measuring, since their columns differ."""
    groups: dict[tuple[str, str, str], list[Summary]] = {}
    for summary in summaries:
        groups.setdefault(summary.group, []).append(summary)
    if len(groups) < 2:
        return [readable_table(caption, summaries)]
    return [
        readable_table(f"{caption}: {dataset}, {task}, {kind.replace('_', ' ')}", rows)
        for (dataset, task, kind), rows in groups.items()
    ]


def readable_table(caption: str, summaries: Sequence[Summary]) -> Table:
    """One column per metric, for people."""
    names = metric_names(summaries)
    columns = (
        "Model",
        "Evaluation",
        *(SHORT_NAMES.get(name, metric_name(name)) for name in names),
        "Clips",
        "Parameters trained / all",
        "Selection",
    )
    rows = tuple(
        [
            summary.model,
            summary.evaluation,
            *(measure_text(name, summary.measures.get(name)) for name in names),
            clips_text(summary),
            f"{text.count(summary.trainable)} / {text.count(summary.total)}",
            summary.facts.get("selection") or text.NOTHING,
        ]
        for summary in summaries
    )
    return Table(caption, columns, rows)


def metric_names(summaries: Sequence[Summary]) -> list[str]:
    """Every metric of the rows, in the order in which they appear."""
    return list(dict.fromkeys(name for summary in summaries for name in summary.measures))


def measure_text(name: str, measure: Measure | None) -> str:
    """`54.2 ± 3.1; pooled 54.0 [50.1, 58.0]`: the interval over subjects, else over clips."""
    if measure is None or measure.mean is None:
        return text.NOTHING
    spread = "" if measure.std is None else f" ± {number(name, measure.std)}"
    if measure.pooled is None or measure.interval is None:
        return f"{number(name, measure.mean)}{spread}"
    pooled = "" if measure.averaged else f"; pooled {number(name, measure.pooled)}"
    return f"{number(name, measure.mean)}{spread}{pooled} {bounds(name, measure.interval)}"


def bounds(name: str, interval: Interval) -> str:
    """`[50.1, 58.0]`."""
    return f"[{number(name, interval[0])}, {number(name, interval[1])}]"


def number(name: str, value: float | None) -> str:
    """Shares (recalls, areas) as percentages; errors and correlations as they are."""
    if value is None or is_share(name):
        return text.percent(value)
    return f"{value:.3f}".replace("-", text.MINUS)


def signed(metric: str, difference: float | None) -> str:
    """Return a difference with its sign."""
    shown = number(metric, difference).replace("-", text.MINUS)
    return f"+{shown}" if difference is not None and difference > 0 else shown


def clips_text(summary: Summary) -> str:
    """The number of test clips, and how many of them have no prediction."""
    missing = f" ({text.count(summary.missing)} without prediction)" if summary.missing else ""
    return f"{text.count(summary.clips)}{missing}"


def to_csv(table: Table) -> str:
    """RFC 4180 text; cells that a spreadsheet would run as formulas are neutralised."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([text.csv_cell(cell) for cell in row] for row in table.rows)
    return buffer.getvalue()


def to_markdown(table: Table) -> str:
    """A pipe table below its caption."""
    head = _line(table.columns, text.markdown_cell)
    rule = "|" + "---|" * len(table.columns)
    rows = [_line(row, text.markdown_cell) for row in table.rows]
    return "\n".join([text.markdown_cell(table.caption), "", head, rule, *rows, ""])


def _line(cells: Iterable[object], escape: Callable[[object], str]) -> str:
    return (
        "| " + " | ".join(escape(text.NOTHING if cell is None else cell) for cell in cells) + " |"
    )


def to_latex(table: Table) -> str:
    """A booktabs table; `\\usepackage{booktabs}` is needed."""
    spec = "l" * len(table.columns)
    lines = [
        " & ".join(text.latex_cell(text.NOTHING if cell is None else cell) for cell in row) + r" \\"
        for row in (table.columns, *table.rows)
    ]
    caption = text.latex_cell(table.caption)
    opening = [r"\begin{table}", r"\centering", rf"\caption{{{caption}}}"]
    body = [rf"\begin{{tabular}}{{{spec}}}", r"\toprule", lines[0], r"\midrule", *lines[1:]]
    closing = [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    return "\n".join([*opening, *body, *closing])


def to_html(table: Table) -> Markup:
    """A plain, escaped table element with caption and scoped headings."""
    heading, cell = Markup('<th scope="col">{}</th>'), Markup("<td>{}</td>")
    rows = [_html_row(cell, row) for row in table.rows]
    return Markup(
        "<table>\n<caption>{}</caption>\n<thead>\n{}</thead>\n<tbody>\n{}</tbody>\n</table>\n"
    ).format(text.visible(table.caption), _html_row(heading, table.columns), Markup("").join(rows))


def _html_row(tag: Markup, cells: Iterable[object]) -> Markup:
    shown = (text.visible(text.NOTHING if cell is None else cell) for cell in cells)
    return Markup("<tr>{}</tr>\n").format(Markup("").join(tag.format(cell) for cell in shown))
