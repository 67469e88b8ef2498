"""Figures place values where the axis says and carry a text for those who cannot see them."""

from xml.etree import ElementTree

import pytest

from expressway.reporting.drawing import figures


def test_values_are_placed_linearly_and_kept_inside() -> None:
    axis = figures.Axis(0, 100, "UAR, %")
    left, middle, right = (axis.place(value) for value in (0, 50, 100))
    assert middle == pytest.approx((left + right) / 2)
    assert axis.place(140) == right


@pytest.mark.parametrize(("low", "high"), [(0, 100), (-8.3, 8.3), (0, 0.7)])
def test_axes_have_a_few_ticks_inside(low: float, high: float) -> None:
    ticks = figures.Axis(low, high, "").ticks()
    assert 4 <= len(ticks) <= 10
    assert low <= min(ticks)
    assert max(ticks) <= high


def test_interval_plots_are_well_formed_and_named() -> None:
    axis = figures.Axis(-10, 10, "points", 0.0, "no difference")
    estimate = figures.Estimate("<a> & b", 2.0, [1.0, 3.0], (1.0, 3.0), (-1.0, 5.0))
    empty = figures.Estimate("undefined", None)
    root = ElementTree.fromstring(figures.interval_plot("differences", axis, [estimate, empty]))
    assert root.get("aria-label") == "differences"
    assert [e.text for e in root.iter("text")][-2:] == ["<a> & b", "undefined"]
    assert len([e for e in root.iter("circle") if e.get("class") == "dot"]) == 1


def test_stacked_bars_share_their_width() -> None:
    root = ElementTree.fromstring(figures.stacked_bar("faces", {"ok": 3, "not computed": 1}))
    widths = {e.get("class"): float(e.get("width") or 0) for e in root.iter("rect")}
    assert widths == {"part-ok": 225, "part-not-computed": 75}


def test_a_bar_of_nothing_is_no_error() -> None:
    ElementTree.fromstring(figures.stacked_bar("nothing", {"ok": 0}))


@pytest.mark.parametrize(("share", "number"), [(0, 0), (0.5, 10), (1, 20), (1.7, 20)])
def test_shades_are_classes_of_the_style_sheet(share: float, number: int) -> None:
    assert figures.shade(share) == number
