"""Linking, choosing and filling, on boxes written out by hand."""

import numpy as np
import pytest

from expressway.faces.detectors.base import Face, overlap
from expressway.faces.track import choose, fill, link

SIZE = (100, 200)


def face(x: float, y: float = 40, side: float = 20, score: float = 0.9) -> Face:
    box = np.array([x, y, x + side, y + side], np.float32)
    return Face(box, score, np.zeros((5, 2), np.float32))


def tracks_of(detections, fps=25.0, **options):
    return link(detections, np.arange(len(detections)) / fps, **options)


def test_two_faces_that_pass_each_other_stay_apart():
    detections = [[face(20 + 2 * i), face(150 - 2 * i, y=10)] for i in range(30)]
    first, second = tracks_of(detections)
    assert first.frames == second.frames == list(range(30))
    assert first.boxes[:, 1].tolist() == [40] * 30
    assert second.boxes[:, 1].tolist() == [10] * 30


def test_order_of_detections_does_not_matter():
    detections = [[face(20 + i), face(150 - i), face(90)] for i in range(10)]
    turned = [list(reversed(faces)) for faces in detections]
    for a, b in zip(tracks_of(detections), tracks_of(turned), strict=True):
        assert a.number == b.number
        np.testing.assert_array_equal(a.boxes, b.boxes)


def test_scene_cut_starts_a_new_track():
    detections = [[face(20)]] * 5 + [[face(120)]] * 5
    assert [track.frames for track in tracks_of(detections)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_another_size_at_the_same_place_is_another_face():
    detections = [[face(20, y=20, side=20)], [face(10, y=10, side=45)]]
    assert len(tracks_of(detections)) == 2


def test_short_gaps_are_bridged_and_long_ones_not():
    gap = [[face(20)]] * 3 + [[]] * 5 + [[face(21)]] * 3
    assert [track.frames for track in tracks_of(gap)] == [[0, 1, 2, 8, 9, 10]]
    assert len(tracks_of(gap, maximum_gap=0.1)) == 2


def test_neighbours_are_linked_however_far_apart_in_time():
    assert len(tracks_of([[face(20)], [face(22)], [face(24)]], fps=0.5)) == 1


def test_the_better_overlap_wins():
    detections = [[face(20), face(30)], [face(29), face(21)]]
    first, second = tracks_of(detections)
    assert first.boxes[:, 0].tolist() == [20, 21]
    assert second.boxes[:, 0].tolist() == [30, 29]


def test_policies_differ():
    """Left: longest. Right: largest. Middle: central."""
    detections = [[face(0, side=20)] for _ in range(4)]
    for i in range(3):
        detections[i].append(face(150, side=40))
        detections[i].append(face(88, y=38, side=24))
    sizes = [SIZE] * 4
    tracks = tracks_of(detections)
    left = {policy: choose(tracks, policy, sizes).boxes[0, 0] for policy in
            ("longest", "largest", "central")}  # fmt: skip
    assert left == {"longest": 0, "largest": 150, "central": 88}


@pytest.mark.parametrize("policy", ["longest", "largest", "central"])
def test_complete_ties_go_to_the_left(policy):
    """Same length, size and distance from the centre: whichever order the detector gives."""
    pair = [face(20), face(160)]
    for faces in (pair, pair[::-1]):
        tracks = tracks_of([faces] * 3)
        assert choose(tracks, policy, [SIZE] * 3).boxes[0, 0] == 20


def test_a_tie_in_length_is_decided_by_size():
    tracks = tracks_of([[face(20, side=20), face(150, side=30)]] * 3)
    assert choose(tracks, "longest", [SIZE] * 3).boxes[0, 0] == 150


def test_fill_policies():
    values = np.array([[1.0], [4.0], [5.0]], np.float32)
    frames, times = [1, 4, 5], np.arange(7) / 10
    hold = fill(values, frames, times, "hold")[:, 0]
    assert hold.tolist() == [1, 1, 1, 1, 4, 5, 5]
    straight = fill(values, frames, times, "interpolate")[:, 0]
    np.testing.assert_allclose(straight, [1, 1, 2, 3, 4, 5, 5], atol=1e-6)


def test_interpolation_goes_by_time_not_by_frame():
    values = np.array([[0.0], [10.0]], np.float32)
    filled = fill(values, [0, 2], np.array([0.0, 0.1, 1.0]), "interpolate")
    np.testing.assert_allclose(filled[:, 0], [0, 1, 10], atol=1e-5)


def test_overlap():
    a, b = face(0).box, face(10).box
    assert overlap(a, a) == 1
    assert overlap(a, b) == pytest.approx(1 / 3)
    assert overlap(a, face(50).box) == 0
    assert overlap(np.zeros(4, np.float32), np.zeros(4, np.float32)) == 0
