"""Windows on images: where they are put and where a view sees them."""

import numpy as np
import pytest

from expressway.data.patch_windows import best_window, hot_spot, inside, seen_through, side
from expressway.data.transforms import View


def test_the_side_is_a_quarter() -> None:
    assert (side(224), side(64)) == (56, 16)


def test_windows_stay_within_the_image() -> None:
    assert inside(np.array([[0, 500], [100, 28]]), 224).tolist() == [[28, 196], [100, 28]]


def test_the_best_window_lies_on_the_warmest_patch() -> None:
    similarity = np.zeros((8, 8))
    similarity[2, 5] = 1.0
    # patch (2, 5) of 8 pixels has its middle at (20, 44)
    assert np.abs(best_window(similarity, 64) - [20, 44]).max() <= 2


def test_of_equal_windows_the_first_wins() -> None:
    assert best_window(np.full((7, 7), 0.3), 224).tolist() == [28, 28]
    assert best_window(np.full((7, 7), -0.3), 224).tolist() == [28, 28]


def test_every_window_is_tried() -> None:
    rng = np.random.default_rng(0)
    similarity = rng.standard_normal((4, 4))
    import cv2

    large = cv2.resize(similarity.astype(np.float32), (32, 32))
    means = {
        (row, column): large[row : row + 8, column : column + 8].mean()
        for row in range(25)
        for column in range(25)
    }
    row, column = max(means, key=means.__getitem__)
    assert best_window(similarity, 32).tolist() == [row + 4, column + 4]


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View.whole((224, 224)), [20, 40]),
        (View(0, 0, 224, 224, mirrored=True), [20, 24]),
        # the upper right quarter, enlarged twice: (20, 40) -> (40, 2 * (40 - 32))
        (View(0, 112, 112, 112), [40, 16]),
        # outside of what is cut: as near as a window gets
        (View(112, 0, 112, 112), [8, 56]),
    ],
)
def test_a_view_moves_the_window_along(view: View, expected: list[int]) -> None:
    assert seen_through(view, np.array([20, 40]), (224, 224), 64).tolist() == expected


@pytest.mark.parametrize(
    ("seed", "expected"),
    enumerate([(18, 123), (211, 174), (212, 61), (11, 15), (100, 115)]),
)
def test_fixture_c_the_released_hot_spot(seed: int, expected: tuple[int, int]) -> None:
    heat = np.random.RandomState(seed).randn(7, 7)
    assert tuple(hot_spot(heat, 224)) == expected


def test_a_flat_map_has_its_hot_spot_in_the_middle() -> None:
    assert hot_spot(np.zeros((7, 7)), 224).tolist() == [112, 112]
