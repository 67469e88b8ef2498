"""Decoding only what was chosen."""

import cv2
import numpy as np
import pytest

from expressway.core.errors import RowFailure
from expressway.data.pictures import chosen_frames


def png(value: int) -> bytes:
    return bytes(cv2.imencode(".png", np.full((6, 8, 3), value, np.uint8))[1])


def test_chosen_frames_come_in_the_order_asked_for() -> None:
    row = {"crops": [png(10), b"no image", png(30)]}
    images = chosen_frames(row, np.array([2, 0, 2]))
    assert images.shape == (3, 3, 6, 8)
    assert images[:, 0, 0, 0].tolist() == [30, 10, 30]


def test_a_broken_frame_is_named() -> None:
    with pytest.raises(RowFailure, match="frame 1"):
        chosen_frames({"crops": [png(10), b"no image"]}, np.array([1]))
