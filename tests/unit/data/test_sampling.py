"""Frame and clip sampling: the rules of the papers, and chance that does not depend on state."""

from collections import Counter

import numpy as np
import pytest

from expressway.data import sampling


def all_valid(frames: int) -> np.ndarray:
    return np.ones(frames, dtype=bool)


def test_every_kth_counts_in_the_source() -> None:
    native = np.arange(100, 112)
    assert sampling.every_kth(native, all_valid(12), 4).tolist() == [0, 4, 8]


def test_every_kth_gives_the_same_moments_from_a_thinned_store() -> None:
    native, thinned = np.arange(0, 41), np.arange(0, 41, 2)
    from_native = native[sampling.every_kth(native, all_valid(41), 4)]
    from_thinned = thinned[sampling.every_kth(thinned, all_valid(21), 4)]
    assert from_native.tolist() == from_thinned.tolist()


def test_every_kth_takes_a_stored_frame_once() -> None:
    sparse = np.array([0, 10, 20])
    assert sampling.every_kth(sparse, all_valid(3), 2).tolist() == [0, 1, 2]


def test_every_kth_leaves_out_frames_without_a_face() -> None:
    valid = np.array([False, True, False, True, False, True])
    index = np.arange(6)
    assert sampling.every_kth(index, valid, 1).tolist() == [1, 3, 5]
    assert sampling.every_kth(index, np.zeros(6, dtype=bool), 2).tolist() == [0, 2, 4]


def test_windows_of_a_long_clip_are_consecutive() -> None:
    assert sampling.centre_window(40, 32).tolist() == list(range(4, 36))
    for draw in range(50):
        window = sampling.random_window(40, 32, np.random.default_rng(draw))
        assert np.diff(window).tolist() == [1] * 31
        assert window[0] >= 0
        assert window[-1] < 40


def test_random_windows_reach_both_ends() -> None:
    starts = {int(sampling.random_window(34, 32, np.random.default_rng(i))[0]) for i in range(100)}
    assert starts == {0, 1, 2}


@pytest.mark.parametrize("count", [1, 2, 5, 31, 32])
def test_short_clips_walk_back_and_forth(count: int) -> None:
    window = sampling.centre_window(count, 32)
    assert len(window) == 32
    assert window[:count].tolist() == list(range(count))
    assert np.abs(np.diff(window)).max() <= 1
    assert window.max() == count - 1


def test_the_released_window_wraps() -> None:
    # section 4.2 of the method's page, written out by hand
    assert sampling.wrapping_window(10, 4, 5).tolist() == [5, 6, 7, 8]
    assert sampling.wrapping_window(10, 4, 6).tolist() == [6, 7, 8, 9]
    assert sampling.wrapping_window(10, 4, 8).tolist() == [8, 9, 0, 1]
    # 3 + 5 frames after one wrap (capped at the clip's length), then reflected: [..., 3, 4] back
    assert sampling.wrapping_window(5, 10, 2).tolist() == [2, 3, 4, 0, 1, 2, 3, 4, 3, 2]
    assert sampling.wrapping_window(1, 4, 0).tolist() == [0, 0, 0, 0]


def test_most_released_windows_of_medium_clips_contain_a_jump() -> None:
    jumps = [np.any(np.diff(sampling.wrapping_window(40, 32, s)) < 0) for s in range(40)]
    # starts 9 to 39 of 40; the page measured 72 % over random draws
    assert np.mean(jumps) == 31 / 40


def test_chance_depends_on_seed_epoch_and_clip_only() -> None:
    def draw(seed: int, epoch: int, key: str) -> int:
        return int(sampling.generator(seed, epoch, key).integers(2**40))

    assert draw(1, 2, "clip") == draw(1, 2, "clip")
    assert len({draw(s, e, k) for s in (1, 2) for e in (1, 2) for k in ("a", "b")}) == 8


def test_the_order_depends_on_the_epoch_and_covers_everything() -> None:
    sampler = sampling.EpochSampler(10, seed=0)
    sampler.set_epoch(3)
    order = list(sampler)
    assert sorted(index for _, index in order) == list(range(10))
    assert {epoch for epoch, _ in order} == {3}
    assert order == list(sampler)
    sampler.set_epoch(4)
    assert [index for _, index in sampler] != [index for _, index in order]


def test_ranks_share_the_order() -> None:
    whole = [index for _, index in sampling.EpochSampler(11, seed=0)]
    shares = [
        [index for _, index in sampling.EpochSampler(11, seed=0, rank=r, world=2)] for r in (0, 1)
    ]
    assert len(shares[0]) == len(shares[1]) == 5
    assert set(shares[0]).isdisjoint(shares[1])
    assert set(shares[0] + shares[1]) <= set(whole)


def test_balancing_draws_rare_classes_as_often() -> None:
    labels = [0] * 90 + [1] * 10
    weights = sampling.balancing_weights(labels)
    sampler = sampling.EpochSampler(100, seed=0, weights=weights)
    drawn: Counter[int] = Counter()
    for epoch in range(50):
        sampler.set_epoch(epoch)
        drawn.update(labels[index] for _, index in sampler)
    # 5000 draws at one half each: standard deviation 35
    assert abs(drawn[0] - 2500) < 5 * 35


def test_segment_frames_are_the_middles_of_equal_parts() -> None:
    assert sampling.segment_frames(16, 8).tolist() == [1, 3, 5, 7, 9, 11, 13, 15]
    # real bounds: the parts of 15 frames are 1.875 long, and the tail is reached
    assert sampling.segment_frames(15, 8).tolist() == [0, 2, 4, 6, 8, 10, 12, 14]


def test_random_segment_frames_reach_every_frame_and_keep_to_their_part() -> None:
    random = np.random.default_rng(0)
    drawn = np.stack([sampling.segment_frames(15, 8, random) for _ in range(400)])
    assert sorted(set(drawn.ravel().tolist())) == list(range(15))
    bounds = np.arange(9) * 15 / 8
    assert (drawn >= np.floor(bounds[:-1])).all()
    assert (drawn < bounds[1:]).all()


def test_clips_shorter_than_their_parts_repeat_the_last_frame() -> None:
    assert sampling.segment_frames(3, 5).tolist() == [0, 1, 2, 2, 2]
    assert sampling.segment_frames(5, 5).tolist() == [0, 1, 2, 3, 4]
    assert sampling.segment_frames(1, 2, np.random.default_rng(0)).tolist() == [0, 0]


def test_nearest_frames_skip_those_without_a_face() -> None:
    source, valid = np.array([10, 14, 18, 22]), np.array([True, False, True, True])
    assert sampling.nearest_frames(source, valid, np.array([0, 3, 5, 12, 40])).tolist() == [
        0,
        0,
        2,
        3,
        3,
    ]
    nobody = np.zeros(4, bool)
    assert sampling.nearest_frames(source, nobody, np.array([4])).tolist() == [1]
