"""Figures with two axes: values stand where the axes say, and carry a text."""

from xml.etree import ElementTree

import numpy as np
import pytest

from expressway.reporting.drawing import planes
from expressway.reporting.drawing.planes import Plane

SQUARE = Plane((0, 1), (0, 1), "false positive rate", "true positive rate")


def points(element: ElementTree.Element) -> np.ndarray:
    return np.array([pair.split(",") for pair in (element.get("points") or "").split()], float)


def lines(root: ElementTree.Element, kind: str) -> list[np.ndarray]:
    return [points(e) for e in root.iter("polyline") if e.get("class") == kind]


def test_axes_are_linear_upwards_and_keep_values_inside() -> None:
    left, middle, right = (SQUARE.across(value) for value in (0, 0.5, 1))
    assert middle == pytest.approx((left + right) / 2)
    assert SQUARE.up(0) > SQUARE.up(0.5) > SQUARE.up(1)
    assert SQUARE.across(7) == right


def test_curves_show_each_run_their_mean_and_chance() -> None:
    places = np.linspace(0, 1, 11)
    runs = [np.sqrt(places), places**2]
    root = ElementTree.fromstring(planes.curves("ROC of <m>", SQUARE, places, runs))
    assert root.get("aria-label") == "ROC of <m>"
    assert (len(lines(root, "run")), len(lines(root, "mean"))) == (2, 1)
    [mean] = lines(root, "mean")
    expected = [SQUARE.up(value) for value in np.mean(runs, axis=0)]
    # a point on the page is given to a tenth
    np.testing.assert_allclose(mean[:, 1], expected, atol=0.11)
    [chance] = lines(root, "reference")
    assert chance.tolist() == [[SQUARE.across(0), SQUARE.up(0)], [SQUARE.across(1), SQUARE.up(1)]]


def test_a_single_run_is_its_own_mean() -> None:
    places = np.linspace(0, 1, 5)
    root = ElementTree.fromstring(planes.curves("one", SQUARE, places, [places]))
    assert (len(lines(root, "run")), len(lines(root, "mean"))) == (0, 1)


def test_a_histogram_holds_every_clip_once() -> None:
    random = np.random.default_rng(0)
    known, unknown = random.normal(2, 1, 200), random.normal(0, 1, 50)
    root = ElementTree.fromstring(planes.histogram("scores", "score", known, unknown))
    heights = [float(e.get("height") or 0) for e in root.iter("rect") if e.get("class") == "known"]
    [outline] = lines(root, "unknown")
    floor = outline[:, 1].max()
    widths = np.diff(outline[:, 0])
    area = ((floor - outline[:-1, 1]) * widths).sum() / widths.max()
    # heights are rounded to a tenth in at most 24 bins; both kinds are shares of their own clips
    assert sum(heights) == pytest.approx(area, rel=0.03)


def test_constant_scores_and_constant_values_are_no_error() -> None:
    ones = np.ones(5)
    ElementTree.fromstring(planes.histogram("scores", "score", ones, ones))
    ElementTree.fromstring(planes.scatter("s", ("x", "y"), (ones, ones), (ones[:1], ones[:1])))


def test_a_scatter_plot_has_a_dot_per_clip_and_a_ring_per_subject_up_to_a_limit() -> None:
    values = np.linspace(0, 5, 4000)
    few = values[:10]
    drawn = planes.scatter("s", ("true", "predicted"), (values, values), (few, few))
    root = ElementTree.fromstring(drawn)
    kinds = [e.get("class") for e in root.iter("circle")]
    assert kinds.count("clip") == planes.MOST_POINTS
    assert kinds.count("subject") == 10
    assert next(e.text for e in root.iter("text")) == "true"
