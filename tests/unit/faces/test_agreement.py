import json

import numpy as np
import pytest

from expressway.faces.agreement import UnitScore, means, score

UNITS = (1, 12, 6)


def told(*names: str, **strengths: float) -> str:
    movements = [{"name": name, "nearest_unit": 0} for name in names]
    known = {"inner_brow_raise": 0.0, "lip_corners_up": 0.0, "cheek_raise": 0.0}
    return json.dumps({"movements": movements, "strengths": {**known, **strengths}})


def truth(*peaks: float) -> np.ndarray:
    return np.array([np.zeros(3), peaks, np.zeros(3)])


def test_counts_by_hand() -> None:
    clips = [
        (told("lip_corners_up", lip_corners_up=0.9), truth(0.0, 0.8, 0.0)),  # hit
        (told("lip_corners_up", lip_corners_up=0.8), truth(0.0, 0.5, 0.0)),  # hit at the limit
        (told(lip_corners_up=0.1), truth(0.0, 0.6, 0.0)),  # missed
        (told("lip_corners_up", lip_corners_up=0.4), truth(0.0, 0.1, 0.0)),  # false alarm
        (told("lip_corners_up", lip_corners_up=0.5), truth(0.0, 0.3, 0.0)),  # in between
    ]
    _, corners, _ = score(clips, UNITS)
    assert (corners.unit, corners.shown, corners.absent) == (12, 3, 1)
    assert corners.recall == pytest.approx(2 / 3)
    assert corners.precision == pytest.approx(2 / 3)
    expected = np.corrcoef([0.9, 0.8, 0.1, 0.4, 0.5], [0.8, 0.5, 0.6, 0.1, 0.3])[0, 1]
    assert corners.correlation == pytest.approx(expected)


def test_what_never_occurs_has_no_score() -> None:
    brow, *_ = score([(told(), truth(0, 0, 0))] * 2, UNITS)
    assert (brow.recall, brow.precision, brow.correlation) == (None, None, None)
    assert score([], UNITS) == []


def test_means_are_over_visible_units_that_occur() -> None:
    scores = [
        UnitScore(1, 3, 3, 0.5, 1.0, None),
        UnitScore(12, 3, 3, 1.0, None, None),
        UnitScore(6, 3, 3, 0.0, 0.0, None),
    ]
    assert means(scores) == (0.75, 1.0)
    assert means([]) == (None, None)
