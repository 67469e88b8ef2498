"""FineCLIPER's image streams: exact colours, weights and dots, and the same for every reader."""

import numpy as np
import pytest

from expressway.core.errors import RowFailure
from expressway.faces import overlays
from expressway.faces.parsing import CLASSES, encode_mask

# FineCLIPER spec 2.5, written out a second time.
EXPECTED = {
    0: (0, 0, 0), 1: (0, 153, 255), 2: (102, 255, 153), 3: (0, 204, 153), 4: (255, 255, 102),
    5: (255, 255, 204), 6: (255, 153, 0), 7: (255, 102, 255), 8: (102, 0, 51),
    9: (255, 204, 255), 10: (255, 0, 102),
}  # fmt: skip


def png(image: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".png", np.ascontiguousarray(image[:, :, ::-1]))[1].tobytes()


def noise(seed: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def test_palette() -> None:
    assert len(overlays.PALETTE) == len(CLASSES)
    for index, colour in EXPECTED.items():
        assert tuple(overlays.PALETTE[index]) == colour


@pytest.mark.parametrize("index", range(11))
def test_half_frame_half_colour(index: int) -> None:
    frame, mask = noise(index), np.full((32, 32), index, np.uint8)
    exact = frame * 0.5 + np.array(EXPECTED[index]) * 0.5
    # halves are rounded to even, as in FaceXFormer
    np.testing.assert_array_equal(overlays.parsing_image(frame, mask), np.rint(exact))


def test_dots_are_yellow_and_only_there() -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    points = np.array([[10.9, 20.2], [40.0, 50.0]], np.float32)
    drawn = overlays.landmark_image(frame, points)
    assert frame.max() == 0
    marked = (drawn == overlays.YELLOW).all(-1)
    for x, y in ((10, 20), (40, 50)):  # as FaceXFormer does it: digits are cut, not rounded
        assert marked[y, x]
        assert marked[y - 1 : y + 2, x - 1 : x + 2].sum() >= 5
        marked[y - 2 : y + 3, x - 2 : x + 3] = False
    assert not marked.any()
    assert set(np.unique(drawn.reshape(-1, 3), axis=0).ravel()) <= {0, 255}


def test_points_outside_draw_nothing() -> None:
    points = np.array([[-50, 5], [5, 500], [np.nan, np.nan]], np.float32)
    drawn = overlays.landmark_image(np.zeros((32, 32, 3), np.uint8), points)
    assert drawn[4:, 4:].max() == 0


def test_streams_are_the_single_images() -> None:
    frames = [noise(0), noise(1)]
    masks = [np.full((32, 32), 3, np.uint8), np.full((32, 32), 9, np.uint8)]
    points = np.array([[[5, 6]], [[20, 21]]], np.float32)
    found = overlays.streams(
        [png(frame) for frame in frames], [encode_mask(mask) for mask in masks], points
    )
    np.testing.assert_array_equal(found["frames"], frames)
    for index in range(2):
        frame, mask = frames[index], masks[index]
        expected = overlays.parsing_image(frame, mask)
        np.testing.assert_array_equal(found["parsing"][index], expected)
        expected = overlays.landmark_image(frame, points[index])
        np.testing.assert_array_equal(found["landmarks"][index], expected)
    assert set(overlays.streams([png(frames[0])])) == {"frames"}


def test_a_mask_of_other_crops_is_refused() -> None:
    with pytest.raises(RowFailure, match="parse this faces variant again"):
        overlays.parsing_image(noise(0), np.zeros((16, 16), np.uint8))
    with pytest.raises(RowFailure, match="label 11"):
        overlays.parsing_image(noise(0), np.full((32, 32), 11, np.uint8))
