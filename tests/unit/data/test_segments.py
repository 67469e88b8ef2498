"""One frame per segment of a clip (docs/methods/finecliper.md, section 4)."""

import numpy as np
import pytest

from expressway.data.segments import middle_segments, random_segments


@pytest.mark.parametrize("count", [17, 31, 100])
def test_middle_segments_follow_the_formula(count: int) -> None:
    # 1e-9 keeps floating point from falling just below a whole number
    expected = [int(np.floor(count / 32 + i * count / 16 + 1e-9)) for i in range(16)]
    assert middle_segments(count, 16).tolist() == expected


def test_a_short_clip_gives_all_frames_and_repeats_the_last() -> None:
    assert middle_segments(3, 5).tolist() == [0, 1, 2, 2, 2]
    assert middle_segments(5, 5).tolist() == [0, 1, 2, 3, 4]


def test_random_segments_reach_both_ends() -> None:
    random = np.random.default_rng(0)
    draws = np.stack([random_segments(31, 16, random) for _ in range(300)])
    assert (np.diff(draws, axis=1) >= 0).all()
    # segments of 31/16 frames; whole-number ones would never reach frames 16 to 30
    assert set(draws.ravel().tolist()) == set(range(31))
    assert draws[:, 0].max() == 1
    assert draws[:, 15].min() == 29


def test_random_segments_of_a_short_clip_repeat_frames() -> None:
    chosen = random_segments(2, 6, np.random.default_rng(1))
    assert chosen.tolist() == [0, 0, 0, 1, 1, 1]
