"""Paired comparisons as the page shows them: a table and a plot per unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from expressway.core import foreign_text as text
from expressway.reporting.drawing import figures
from expressway.reporting.results import (
    RECALLS,
    SHORT_NAMES,
    Interval,
    as_interval,
    is_share,
    metric_name,
    scaled,
)


@dataclass(frozen=True)
class Comparison:
    """One difference as text, and as a line of a plot."""

    entry: Mapping[str, Any]
    line: figures.Estimate
    difference: str
    over_clips: str
    over_subjects: str

    @property
    def metric(self) -> str:
        """The key of the compared metric."""
        return _metric(self.entry)

    @property
    def reading(self) -> str:
        """What the wider of the two intervals says."""
        interval = self.line.outer or self.line.inner
        if interval is None:
            return "no interval"
        if interval[0] > 0:
            return "higher; interval excludes 0"
        return "lower; interval excludes 0" if interval[1] < 0 else "interval includes 0"


def comparisons(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows of the table, and a plot of the differences per unit."""
    several = len({_metric(entry) for entry in found}) > 1
    rows = [_comparison(entry, several) for entry in found]
    plots = []
    for share, unit in ((True, "percentage points"), (False, "correlation")):
        lines = [row.line for row in rows if is_share(row.metric) == share]
        if lines:
            plots.append(_plot(lines, unit, least=1.0 if share else 0.01))
    return {"rows": rows, "plots": plots}


def _metric(entry: Mapping[str, Any]) -> str:
    return str(entry.get("metric") or RECALLS[0])


def _plot(lines: Sequence[figures.Estimate], unit: str, least: float) -> Markup:
    edges = [abs(v) for e in lines for pair in (e.inner, e.outer) if pair for v in pair]
    reach = max([least, *edges]) * 1.1
    axis = figures.Axis(-reach, reach, unit, 0.0, "no difference")
    title = "Paired differences with 95 % intervals; the numbers are in the table"
    return figures.interval_plot(title, axis, lines)


def _comparison(entry: Mapping[str, Any], named: bool) -> Comparison:
    metric, value = _metric(entry), entry.get("difference")
    scale, digits = (100, 1) if is_share(metric) else (1, 3)
    splits = [v for v in (entry.get("splits") or {}).values() if v is not None]
    short = f" · {SHORT_NAMES.get(metric, metric_name(metric))}" if named else ""
    line = figures.Estimate(
        name=f"{_sides(str(entry.get('a')), str(entry.get('b')))}{short}",
        value=None if value is None else scale * float(value),
        runs=[scale * float(run) for run in splits],
        inner=scaled(as_interval(entry.get("interval_clips")), scale),
        outer=scaled(as_interval(entry.get("interval_subjects")), scale),
    )
    return Comparison(
        entry=entry,
        line=line,
        difference=text.NOTHING if line.value is None else _signed(line.value, digits),
        over_clips=_interval(line.inner, digits),
        over_subjects=_interval(line.outer, digits),
    )


def _sides(a: str, b: str) -> str:
    """`emoclip, clip · names` with a minus where the evaluation is the same; else both in full."""
    (first, _, how), (second, _, other) = a.partition("/"), b.partition("/")
    if how and how == other:
        return f"{first} {text.MINUS} {second} · {how}"
    return f"{a} {text.MINUS} {b}"


def _interval(edges: Interval | None, digits: int) -> str:
    if edges is None:
        return text.NOTHING
    return f"[{_signed(edges[0], digits)}, {_signed(edges[1], digits)}]"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", text.MINUS)
