"""Which frames are kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expressway.media.sampling import choose, middles

STEADY = np.arange(50) / 25


def test_without_limits_every_frame_is_kept() -> None:
    assert choose(STEADY).tolist() == list(range(50))


def test_a_rate_keeps_the_frame_on_display_at_each_tick() -> None:
    assert choose(STEADY, rate=5).tolist() == list(range(0, 50, 5))
    # ticks at 0, 1/3, 2/3, ... s; frame 8 is on display from 0.32 to 0.36 s
    assert choose(STEADY, rate=3).tolist() == [0, 8, 16, 25, 33, 41]


def test_a_rate_follows_uneven_times() -> None:
    times = np.array([0.0, 0.1, 0.15, 0.9, 1.4])
    # ticks 0, .5, 1, 1.5; at .5 the third frame is still on display, at 1.5 the last
    assert choose(times, rate=2).tolist() == [0, 2, 3, 4]


def test_a_frame_on_display_for_many_ticks_is_kept_once() -> None:
    assert choose(np.array([0.0, 2.0]), rate=10).tolist() == [0, 1]


def test_ticks_before_the_first_frame_take_the_first() -> None:
    assert choose(np.array([0.31, 0.35, 0.39]), rate=10).tolist() == [0, 2]


def test_the_end_of_the_clip_stops_the_ticks() -> None:
    times = np.array([0.0, 0.5])
    assert choose(times, rate=2, end=0.4).tolist() == [0]


def test_a_maximum_takes_the_middles_of_equal_runs() -> None:
    assert choose(STEADY, maximum=5).tolist() == [5, 15, 25, 35, 45]
    assert choose(STEADY, maximum=1).tolist() == [25]
    assert choose(STEADY, maximum=80).tolist() == list(range(50))


def test_middles_of_equal_parts() -> None:
    assert middles(16, 8).tolist() == [1, 3, 5, 7, 9, 11, 13, 15]
    assert middles(3, 8).tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    assert middles(1, 4).tolist() == [0, 0, 0, 0]
    assert middles(72, 1).tolist() == [36]
    assert middles(0, 0).tolist() == []


@pytest.mark.parametrize("count", [17, 31, 100])
def test_middles_follow_the_formula(count: int) -> None:
    # 1e-9 keeps floating point from falling just below a whole number
    expected = [int(np.floor(count / 32 + i * count / 16 + 1e-9)) for i in range(16)]
    assert middles(count, 16).tolist() == expected


def test_a_maximum_counts_after_the_rate() -> None:
    assert choose(STEADY, rate=5, maximum=2).tolist() == [10, 35]


@pytest.mark.parametrize("rate", [None, 7.0])
def test_no_frame_gives_no_frame(rate: float | None) -> None:
    assert choose(np.zeros(0), rate=rate, maximum=3).tolist() == []


@given(
    gaps=st.lists(st.floats(0.001, 2.0), min_size=1, max_size=60),
    rate=st.none() | st.floats(0.1, 60.0),
    maximum=st.none() | st.integers(1, 70),
)
def test_the_kept_are_increasing_within_bounds_and_never_none(
    gaps: list[float], rate: float | None, maximum: int | None
) -> None:
    times = np.cumsum(gaps)
    kept = choose(times - times[0], rate, maximum)
    assert 1 <= len(kept) <= min(len(times), maximum or len(times))
    assert (np.diff(kept) > 0).all()
    assert kept[0] >= 0
    assert kept[-1] < len(times)
