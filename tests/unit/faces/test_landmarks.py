"""The tables into 68-point order: complete, symmetrical, anatomically right."""

import numpy as np
import pytest

from expressway.faces import landmarks


@pytest.mark.parametrize(("layout", "size"), [("points106", 106), ("mesh478", 478)])
def test_tables_have_68_different_entries_in_range(layout, size):
    table = landmarks.TABLES[layout]
    assert table.shape == (68, 2)
    assert table.min() >= 0
    assert table.max() < size
    assert len({tuple(sorted(pair)) for pair in table.tolist()}) == 68


def test_mirror_order_is_its_own_inverse():
    assert (landmarks.MIRROR[landmarks.MIRROR] == np.arange(68)).all()
    assert [int(i) for i in np.flatnonzero(np.arange(68) == landmarks.MIRROR)] == [
        8, 27, 28, 29, 30, 33, 51, 57, 62, 66,
    ]  # fmt: skip


# InsightFace numbers left and right halves alike: the right half follows at a fixed distance.
HALVES_106 = {
    **{left: left + 16 for left in range(1, 17)},
    **{left: left + 6 for left in range(75, 80)},
    0: 0,
    72: 72,
    73: 73,
    74: 74,
    86: 86,
    80: 80,
    43: 101,
    48: 105,
    49: 104,
    51: 103,
    50: 102,
    35: 93,
    41: 96,
    42: 95,
    39: 89,
    37: 90,
    36: 91,
    52: 61,
    64: 68,
    63: 67,
    71: 71,
    55: 58,
    56: 59,
    53: 53,
    65: 69,
    66: 70,
    62: 62,
    54: 57,
    60: 60,
}


def test_106_table_is_symmetrical():
    partner = {**HALVES_106, **{right: left for left, right in HALVES_106.items()}}
    table = landmarks.TABLES["points106"][:, 0]
    assert [partner[int(i)] for i in table] == table[landmarks.MIRROR].tolist()


def test_mesh_table_agrees_with_mediapipes_own_regions():
    from mediapipe.python.solutions import face_mesh_connections as regions

    def points(name: str) -> set[int]:
        return {i for edge in getattr(regions, f"FACEMESH_{name}") for i in edge}

    def table(name: str) -> set[int]:
        return {int(i) for i in landmarks.TABLES["mesh478"][landmarks.REGIONS[name]].ravel()}

    # MediaPipe says left and right from the person's view, we from the viewer's.
    assert table("left_eye") <= points("RIGHT_EYE")
    assert table("right_eye") <= points("LEFT_EYE")
    assert table("left_brow") <= points("RIGHT_EYEBROW")
    assert table("right_brow") <= points("LEFT_EYEBROW")
    assert table("jaw") <= points("FACE_OVAL")
    assert table("outer_lips") | table("inner_lips") <= points("LIPS")
    assert table("nose") <= points("NOSE") | {168, 326, 327, 97, 98, 2, 197, 5, 4}


def test_places_on_a_real_face(mediapipe_detector, astronaut):
    points = landmarks.to_68(mediapipe_detector.landmarks(astronaut), "mesh478")
    x, y = points[:, 0], points[:, 1]
    assert (np.diff(x[:17]) > -3).all()  # the jaw runs from left to right
    assert y[:17].argmax() in (7, 8, 9)  # and is lowest at the chin
    assert (np.diff(x[17:27]) > 0).all()
    assert (np.diff(y[27:31]) > 0).all()  # the nose goes down
    assert (np.diff(x[31:36]) > 0).all()
    for first in (36, 42):
        assert x[first] < x[first + 1] < x[first + 2] < x[first + 3]
        assert y[first + 1] < y[first + 5]
        assert y[first + 2] < y[first + 4]
    assert x[48] == x[48:60].min()
    assert x[54] == x[48:60].max()
    assert y[51] < y[62] <= y[66] < y[57]
    spacing = np.linalg.norm(np.diff(points[:17], axis=0), axis=-1)
    assert spacing.max() < 3 * spacing.min()  # the jaw is divided about evenly


def test_five_points():
    points = np.zeros((3, 68, 2), np.float32)
    points[:, 36:42] = [[[10, 20]]]
    points[:, 42:48] = [[[30, 21]]]
    points[:, [30, 48, 54]] = [[20, 30], [12, 40], [28, 41]]
    expected = [[10, 20], [30, 21], [20, 30], [12, 40], [28, 41]]
    np.testing.assert_array_equal(landmarks.to_5(points), [expected] * 3)


def test_two_mesh_points_give_the_middle():
    mesh = np.zeros((478, 3), np.float32)
    mesh[93], mesh[132] = [2, 4, 9], [4, 8, 9]
    np.testing.assert_array_equal(landmarks.to_68(mesh, "mesh478")[2], [3, 6])
