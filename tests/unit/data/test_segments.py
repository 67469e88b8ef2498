"""One frame per segment of a clip (docs/methods/finecliper.md, section 4)."""

import numpy as np

from expressway.data.segments import random_segments


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
