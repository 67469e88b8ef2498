"""Small inline SVG figures; colours come from CSS classes, so they follow light, dark and print."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from expressway.core.foreign_text import MINUS, visible
from expressway.reporting.results import Interval

# The page forbids style attributes; shades are classes shade-0 … shade-20 in report.css.
SHADES = 20
_ROW = 50
_WIDTH = 540
_MARGIN = 16


@dataclass(frozen=True)
class Estimate:
    """One line of an interval plot, in the units of its axis."""

    name: str
    value: float | None
    runs: Sequence[float] = ()
    inner: Interval | None = None
    outer: Interval | None = None


@dataclass(frozen=True)
class Axis:
    """The horizontal axis of an interval plot, with an optional line that means `nothing`."""

    low: float
    high: float
    label: str
    reference: float | None = None
    reference_label: str = ""

    def place(self, value: float) -> float:
        """The x coordinate of a value, kept inside the plot."""
        share = (value - self.low) / (self.high - self.low)
        return round(_MARGIN + min(max(share, 0.0), 1.0) * (_WIDTH - 2 * _MARGIN), 1)

    def ticks(self) -> list[float]:
        """Five to nine round numbers inside the axis."""
        return ticks(self.low, self.high, most=9)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers between two limits, at equal steps, at most so many steps."""
    span = high - low
    size = 10.0 ** math.floor(math.log10(span / most))
    step = next(size * factor for factor in (1, 2, 5, 10) if span / (size * factor) <= most)
    digits = max(0, 2 - math.floor(math.log10(step)))
    found = [
        round(i * step, digits)
        for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ]
    return [tick for tick in found if low - 1e-9 <= tick <= high + 1e-9]


def shade(share: float) -> int:
    """The class number of a background shade for a share between 0 and 1."""
    return round(SHADES * min(max(share, 0.0), 1.0))


def interval_plot(title: str, axis: Axis, estimates: Sequence[Estimate]) -> Markup:
    """Dots with a thick (inner) and a thin (outer) interval, one line per estimate."""
    height = _ROW * len(estimates) + 66
    rows = Markup("").join(
        _estimate(axis, estimate, 36 + _ROW * row) for row, estimate in enumerate(estimates)
    )
    body = _axis(axis, height) + rows
    return svg(title, _WIDTH, height, "interval-plot", body)


def svg(
    title: str, width: int, height: int, kind: str, body: Markup, stretch: bool = False
) -> Markup:
    """An SVG element that scales with its container and is read out as its title."""
    ratio = "none" if stretch else "xMidYMid"
    return Markup(
        '<svg class="{}" viewBox="0 0 {} {}" preserveAspectRatio="{}" role="img" aria-label="{}">'
        "{}</svg>"
    ).format(kind, width, height, ratio, visible(title, 600), body)


def _axis(axis: Axis, height: int) -> Markup:
    bottom = height - 52
    lines = Markup("").join(
        Markup(
            '<line class="grid" x1="{0}" x2="{0}" y1="8" y2="{1}"/>'
            '<text class="tick" x="{0}" y="{2}" text-anchor="middle">{3}</text>'
        ).format(axis.place(tick), bottom, bottom + 18, f"{tick:g}".replace("-", MINUS))
        for tick in axis.ticks()
    )
    # the label makes room for that of the reference
    crowded = axis.reference is not None and axis.place(axis.reference) > 0.6 * _WIDTH
    place, anchor = (_MARGIN, "start") if crowded else (_WIDTH - _MARGIN, "end")
    label = Markup('<text class="tick" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        place, bottom + 42, anchor, axis.label
    )
    if axis.reference is None:
        return lines + label
    mark = Markup(
        '<line class="reference" x1="{0}" x2="{0}" y1="8" y2="{1}"/>'
        '<text class="tick" x="{0}" y="{2}" text-anchor="{3}">{4}</text>'
    ).format(
        axis.place(axis.reference),
        bottom,
        bottom + 42,
        "end" if axis.place(axis.reference) > 0.9 * _WIDTH else "middle",
        axis.reference_label,
    )
    return lines + label + mark


def _estimate(axis: Axis, estimate: Estimate, y: int) -> Markup:
    name = Markup('<text class="name" x="{}" y="{}">{}</text>').format(
        _MARGIN, y - 14, visible(estimate.name, 60)
    )
    dots = Markup("").join(
        Markup('<circle class="run" cx="{}" cy="{}" r="3"/>').format(axis.place(run), y)
        for run in estimate.runs
    )
    if estimate.value is None:
        return name + dots
    dot = Markup('<circle class="dot" cx="{}" cy="{}" r="5.5"/>').format(
        axis.place(estimate.value), y
    )
    lines = _whisker(axis, estimate.outer, y, "outer") + _whisker(axis, estimate.inner, y, "inner")
    return name + lines + dots + dot


def _whisker(axis: Axis, interval: Interval | None, y: int, kind: str) -> Markup:
    if interval is None:
        return Markup("")
    return Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
        kind, axis.place(interval[0]), axis.place(interval[1]), y, y
    )


def stacked_bar(title: str, counts: Mapping[str, int]) -> Markup:
    """One horizontal bar, a segment per name; the class is `part-` and the name."""
    total = sum(counts.values())
    rect = Markup('<rect class="part-{}" x="{:.2f}" y="0" width="{:.2f}" height="14"/>')
    x, parts = 0.0, Markup("")
    for name, number in counts.items():
        width = 300 * number / total if total else 0
        parts += rect.format(name.replace(" ", "-"), x, width)
        x += width
    return svg(title, 300, 14, "bar", parts, stretch=True)
