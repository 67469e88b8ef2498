"""Small inline SVG figures with two axes: curves, histograms, scatter plots.

Colours and strokes are classes of report.css, as in `figures`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from expressway.core.foreign_text import MINUS
from expressway.reporting.drawing.figures import svg, ticks

Array = npt.NDArray[np.float64]
Range = tuple[float, float]
WIDTH, HEIGHT, LOW = 320, 296, 200
LEFT, RIGHT, TOP, BOTTOM = 54, 10, 10, 46
BINS = 24
MOST_POINTS = 1500  # of a scatter plot, so that the page stays small


@dataclass(frozen=True)
class Plane:
    """Two linear axes with their labels."""

    x: Range
    y: Range
    x_label: str
    y_label: str
    height: int = HEIGHT

    def across(self, value: float) -> float:
        """The x coordinate of a value, kept inside."""
        return round(LEFT + _share(value, self.x) * (WIDTH - LEFT - RIGHT), 1)

    def up(self, value: float) -> float:
        """The y coordinate of a value, kept inside."""
        return round(self.height - BOTTOM - _share(value, self.y) * (self.height - TOP - BOTTOM), 1)


def _share(value: float, limits: Range) -> float:
    low, high = limits
    return min(max((value - low) / (high - low), 0.0), 1.0)


def curves(title: str, plane: Plane, places: Array, runs: Sequence[Array]) -> Markup:
    """Curves over the same places: each run thin, their mean thick, and the diagonal of chance."""
    thin = Markup("").join(_line(plane, places, run, "run") for run in runs if len(runs) > 1)
    chance = _line(plane, np.array(plane.x), np.array(plane.y), "reference")
    mean = _line(plane, places, np.mean(runs, axis=0), "mean")
    return _drawn(title, plane, chance + thin + mean)


def courses(title: str, plane: Plane, runs: Sequence[Array]) -> Markup:
    """What each run had at 1, 2, …; where there are several, their mean as far as all reach."""
    thin = Markup("").join(_course(plane, run, "run") for run in runs if len(runs) > 1)
    shortest = min(len(run) for run in runs)
    thick = _course(plane, np.mean([run[:shortest] for run in runs], axis=0), "mean")
    return _drawn(title, plane, thin + thick)


def _course(plane: Plane, run: Array, kind: str) -> Markup:
    kept = np.isfinite(run)
    return _line(plane, np.arange(1.0, len(run) + 1)[kept], run[kept], kind)


def _line(plane: Plane, xs: Array, ys: Array, kind: str) -> Markup:
    points = " ".join(f"{plane.across(x)},{plane.up(y)}" for x, y in zip(xs, ys, strict=True))
    return Markup('<polyline class="{}" points="{}"/>').format(kind, points)


def histogram(title: str, label: str, known: Array, unknown: Array) -> Markup:
    """Shares of two kinds of clips per bin: known as bars, unknown as an outline."""
    both = np.concatenate([known, unknown])
    low, high = np.quantile(both, [0.005, 0.995])
    low, high = (low, high) if high > low else (low - 0.5, low + 0.5)
    edges = np.linspace(low, high, BINS + 1)
    shares = [
        np.histogram(np.clip(kind, low, high), edges)[0] / len(kind) for kind in (known, unknown)
    ]
    plane = Plane((low, high), (0.0, float(np.max(shares)) * 1.05), label, "share of clips")
    bars = Markup("").join(
        _bar(plane, edges[i], edges[i + 1], float(share))
        for i, share in enumerate(shares[0])
        if share
    )
    xs = np.repeat(edges, 2)
    outline = np.concatenate([[0.0], np.repeat(shares[1], 2), [0.0]])
    return _drawn(title, plane, bars + _line(plane, xs, outline, "unknown"))


def _bar(plane: Plane, left: float, right: float, height: float) -> Markup:
    x, top = plane.across(left), plane.up(height)
    return Markup('<rect class="known" x="{}" y="{}" width="{:.1f}" height="{:.1f}"/>').format(
        x, top, plane.across(right) - x, plane.up(0.0) - top
    )


def scatter(
    title: str, labels: tuple[str, str], clips: tuple[Array, Array], subjects: tuple[Array, Array]
) -> Markup:
    """Dots for clips, rings for subjects, and the diagonal where both values are equal."""
    values = np.concatenate([*clips, *subjects])
    low, high = float(values.min()), float(values.max())
    margin = (high - low) / 20 or 0.5
    limits = (low - margin, high + margin)
    plane = Plane(limits, limits, *labels)
    equal = _line(plane, np.array(limits), np.array(limits), "reference")
    kept = np.unique(np.linspace(0, len(clips[0]) - 1, MOST_POINTS).round().astype(int))
    shown = (clips[0][kept], clips[1][kept])
    return _drawn(
        title, plane, equal + _dots(plane, shown, "clip", 2) + _dots(plane, subjects, "subject", 4)
    )


def _dots(plane: Plane, points: tuple[Array, Array], kind: str, radius: int) -> Markup:
    circle = Markup('<circle class="{}" cx="{}" cy="{}" r="{}"/>')
    return Markup("").join(
        circle.format(kind, plane.across(x), plane.up(y), radius)
        for x, y in zip(*points, strict=True)
    )


def _drawn(title: str, plane: Plane, body: Markup) -> Markup:
    return svg(title, WIDTH, plane.height, "plane", _grid(plane) + body)


def _grid(plane: Plane) -> Markup:
    bottom, right = plane.height - BOTTOM, WIDTH - RIGHT
    line = Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>')
    text = Markup('<text class="tick" x="{}" y="{}" text-anchor="{}">{}</text>')
    parts = [text.format(right, plane.height - 6, "end", plane.x_label)]
    for tick in ticks(*plane.x, most=6):
        x = plane.across(tick)
        parts += [
            line.format(x, x, TOP, bottom),
            text.format(x, bottom + 17, "middle", _told(tick)),
        ]
    for tick in ticks(*plane.y, most=6):
        y = plane.up(tick)
        parts += [line.format(LEFT, right, y, y), text.format(LEFT - 6, y + 4, "end", _told(tick))]
    upright = Markup(
        '<text class="tick" transform="translate(12 {}) rotate(-90)" text-anchor="end">{}</text>'
    ).format(TOP, plane.y_label)
    return Markup("").join([*parts, upright])


def _told(tick: float) -> str:
    return f"{tick:g}".replace("-", MINUS)
