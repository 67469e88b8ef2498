"""Clip-wise augmentation: one draw for every frame and modality."""

import numpy as np
import pytest
import torch

from expressway.data.transforms import Augmentation, View


def ramp(frames: int = 3, height: int = 40, width: int = 48) -> torch.Tensor:
    """Images whose red is the row, green the column and blue the frame."""
    rows = torch.arange(height)[:, None].expand(height, width)
    columns = torch.arange(width)[None].expand(height, width)
    images = [torch.stack([rows, columns, torch.full_like(rows, f)]) for f in range(frames)]
    return torch.stack(images).to(torch.uint8)


def test_the_whole_view_changes_nothing() -> None:
    images = ramp()
    assert torch.equal(View.whole((40, 48)).apply(images, (40, 48)), images)


def test_a_view_cuts_and_mirrors() -> None:
    out = View(4, 6, 10, 20, mirrored=True).apply(ramp(), (10, 20))
    assert out.shape == (3, 3, 10, 20)
    assert out.is_contiguous()
    assert out[0, 0, :, 0].tolist() == list(range(4, 14))
    assert out[0, 1, 0].tolist() == list(range(25, 5, -1))
    assert out[:, 2, 0, 0].tolist() == [0, 1, 2]


def test_a_view_resizes_with_antialiasing() -> None:
    stripes = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    stripes[..., ::2] = 200
    small = View.whole((32, 32)).apply(stripes, (8, 8), "bilinear")
    # fine stripes become their mean; without antialiasing they would be black or white
    assert small.float().sub(100).abs().max() < 15


def test_draws_are_within_their_bounds() -> None:
    augmentation, random = Augmentation(degrees=4), np.random.default_rng(0)
    views = [augmentation.draw((224, 224), random) for _ in range(500)]
    areas = np.array([view.height * view.width for view in views]) / 224**2
    ratios = np.array([view.width / view.height for view in views])
    # rounding to whole pixels moves area and ratio by less than a percent
    assert areas.min() > 0.59
    assert areas.max() <= 1
    assert 0.74 < ratios.min() < 0.85
    assert 1.18 < ratios.max() < 1.35
    assert all(0 <= view.top <= 224 - view.height for view in views)
    assert all(0 <= view.left <= 224 - view.width for view in views)
    assert 0.4 < np.mean([view.mirrored for view in views]) < 0.6
    assert max(abs(view.degrees) for view in views) <= 4
    assert len({view.degrees for view in views}) == 500


def test_a_generator_decides_the_draw() -> None:
    draws = [Augmentation().draw((64, 64), np.random.default_rng(s)) for s in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_an_image_that_no_draw_fits_is_kept_whole() -> None:
    wide = Augmentation(area=(1, 1), ratio=(1, 1))
    assert wide.draw((20, 200), np.random.default_rng(0)).height == 20


@pytest.mark.parametrize("degrees", [0.0, 20.0])
def test_frames_and_modalities_get_the_same_view(degrees: float) -> None:
    images = ramp(1).repeat(4, 1, 1, 1)
    view = Augmentation(degrees=degrees).draw((40, 48), np.random.default_rng(3))
    first, second = view.apply(images, (32, 32)), view.apply(images[:1], (32, 32))
    assert first.dtype == torch.uint8
    assert all(torch.equal(frame, second[0]) for frame in first)


def test_a_rotation_turns_around_the_middle_and_leaves_no_black_corners() -> None:
    images = torch.full((2, 3, 30, 40), 90, dtype=torch.uint8)
    images[:, :, 14:16, 19:25] = 200
    turned = View(0, 0, 30, 40, degrees=90).apply(images, (30, 40))
    assert turned.min() == 90
    # a quarter turn: the bar stands upright now, six pixels high and two wide
    where = (turned[0, 0, :, 10:30] == 200).nonzero()
    assert len(where) == 12
    assert where[:, 1].unique().tolist() == [9, 10]
