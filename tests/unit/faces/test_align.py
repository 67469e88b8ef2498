"""Geometry: equal to scikit-image's estimate, pixels land where the transform says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expressway.faces import align


@given(
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.05, 20),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
def test_similarity_recovers_what_was_done(angle, scale, shift):
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    done = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]], np.float32)
    found = align.similarity(align.TEMPLATE, align.apply(done, align.TEMPLATE))
    np.testing.assert_allclose(found, done, atol=2e-3 * max(scale, 1))


def test_similarity_equals_scikit_image():
    from skimage.transform import SimilarityTransform

    rng = np.random.default_rng(0)
    target = align.template(224)
    for _ in range(20):
        source = (align.TEMPLATE * rng.uniform(0.3, 4) + rng.normal(0, 6, (5, 2))).astype("f4")
        expected = SimilarityTransform.from_estimate(source, target).params[:2]
        np.testing.assert_allclose(align.similarity(source, target), expected, atol=1e-3)


def test_similarity_takes_all_frames_at_once():
    points = np.stack([align.TEMPLATE + shift for shift in range(4)]).astype(np.float32)
    together = align.similarity(points, align.template(224))
    single = [align.similarity(each, align.template(224)) for each in points]
    assert together.shape == (4, 2, 3)
    np.testing.assert_array_equal(together, np.stack(single))


def test_points_that_coincide_give_no_error():
    found = align.similarity(np.zeros((5, 2), np.float32), align.template(224))
    assert np.isfinite(found).all()


def test_template_without_margin_is_arcface_times_two():
    np.testing.assert_allclose(align.template(224, 0.0), align.TEMPLATE * 2, atol=1e-4)


def test_margin_shows_more_around_the_same_centre():
    wide = align.template(224, 0.25)
    np.testing.assert_allclose(wide - 112, (align.TEMPLATE * 2 - 112) / 1.5, atol=1e-3)


def test_square_centres_the_box_with_its_margin():
    transform = align.square(np.array([[100, 50, 140, 130]], np.float32), 200, margin=0.125)
    corners = np.array([[[70, 40], [170, 140], [120, 90]]], np.float32)
    placed = align.apply(transform, corners)
    np.testing.assert_allclose(placed[0], [[0, 0], [200, 200], [100, 100]], atol=1e-3)


def test_whole_keeps_proportions():
    placed = align.apply(align.whole(100, 400, 200), np.array([[0, 0], [400, 100]], np.float32))
    np.testing.assert_allclose(placed, [[0, 75], [200, 125]], atol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 0.7, 0.4, 0.13])
def test_a_mark_lands_where_the_transform_says(scale):
    """A soft spot in the source, its centre of gravity in the crop; also where it is reduced."""
    ys, xs = np.mgrid[:600, :800]
    centre, width = np.array([500.0, 260.0]), 6 / scale
    spot = np.exp(-((xs - centre[0]) ** 2 + (ys - centre[1]) ** 2) / (2 * width**2))
    image = np.repeat((255 * spot).astype(np.uint8)[..., None], 3, axis=2)
    transform = np.array([[scale, 0, 60 - 500 * scale], [0, scale, 50 - 260 * scale]], np.float32)
    crop = align.crop(image, transform, 112)[..., 0].astype(float)
    rows, columns = np.mgrid[:112, :112]
    found = [(columns * crop).sum() / crop.sum(), (rows * crop).sum() / crop.sum()]
    # A tenth of a pixel: the spot's tails are cut to 8 bits.
    np.testing.assert_allclose(found, [60, 50], atol=0.1)


def test_reduction_does_not_alias():
    """Stripes of one pixel are grey from afar; plain bilinear sampling shows stripes."""
    image = np.zeros((800, 800, 3), np.uint8)
    image[:, ::2] = 255
    crop = align.crop(image, np.array([[0.25, 0, 0], [0, 0.25, 0]], np.float32), 200)
    inner = crop[5:-5, 5:-5]
    assert abs(float(inner.mean()) - 127.5) < 2
    assert float(inner.std()) < 3


def test_outside_the_frame_is_black():
    image = np.full((50, 50, 3), 200, np.uint8)
    crop = align.crop(image, np.array([[1, 0, 60], [0, 1, 60]], np.float32), 112)
    assert crop[:55].max() == 0
    assert crop[70, 70].tolist() == [200, 200, 200]


def test_smoothing_keeps_steady_motion_and_removes_jitter():
    times = np.arange(40) / 25
    steady = np.stack([times * 100, times * -30], -1).astype(np.float32)
    smooth = align.smoothed(steady, times, 0.04)
    np.testing.assert_allclose(smooth[5:-5], steady[5:-5], atol=1e-3)
    jitter = steady + np.where(np.arange(40) % 2, 1, -1)[:, None]
    left = np.abs(align.smoothed(jitter.astype("f4"), times, 0.04) - steady)[5:-5].max()
    # Weights 1, 2 exp(-1/2), 2 exp(-2) ...: alternating signs leave 1.5 % of the amplitude.
    assert left < 0.05


def test_smoothing_does_nothing_to_frames_far_apart_or_when_off():
    values = np.random.default_rng(0).normal(size=(6, 5, 2)).astype(np.float32)
    apart = align.smoothed(values, np.arange(6.0), 0.04)
    np.testing.assert_allclose(apart, values, atol=1e-6)
    assert align.smoothed(values, np.arange(6.0), 0.0) is values
