"""Movements of a drawn face: what is moved by hand must be found, and nothing else."""

import json
from typing import Any

import numpy as np
import pytest

from expressway.core.errors import RowFailure
from expressway.faces import geometry, movements
from expressway.faces.movements import Movement
from expressway.language.captioners import wording
from expressway.language.captioners.action_units import ActionUnitsOptions, describe

FRAMES, FPS = 50, 25
OPTIONS = ActionUnitsOptions()


def flat(mesh: np.ndarray) -> np.ndarray:
    raise AssertionError("there is no mesh")


def neutral() -> np.ndarray:
    """68 points (68, 2) of a face at rest, the eyes 1 apart and level at y = 0."""
    face = np.zeros((68, 2))
    jaw = np.linspace(-1.1, 1.1, 17)
    face[0:17] = np.stack([jaw, 1.74 - 1.7 * (jaw / 1.1) ** 2], axis=1)
    for start, centre in ((17, -0.5), (22, 0.5)):
        x = centre + np.linspace(-0.3, 0.3, 5)
        face[start : start + 5] = np.stack([x, np.full(5, -0.38)], axis=1)
    face[[17, 18, 25, 26], 1] = -0.33
    face[27:31] = [(0, y) for y in (0.05, 0.3, 0.5, 0.65)]
    face[31:36] = [(x, 0.78) for x in (-0.28, -0.14, 0, 0.14, 0.28)]
    face[33] = (0, 0.84)
    for start, centre in ((36, -0.5), (42, 0.5)):
        x = [-0.22, -0.08, 0.08, 0.22, 0.08, -0.08]
        y = [0, -0.06, -0.06, 0, 0.06, 0.06]
        face[start : start + 6] = np.stack([centre + np.array(x), y], axis=1)
    outer = [(-0.4, 1.1), (-0.2, 1.05), (-0.08, 1.03), (0, 1.03), (0.08, 1.03), (0.2, 1.05)]
    outer += [(0.4, 1.1), (0.2, 1.24), (0.08, 1.3), (0, 1.31), (-0.08, 1.3), (-0.2, 1.24)]
    face[48:60] = outer
    inner = [(-0.36, 1.1), (-0.1, 1.13), (0, 1.13), (0.1, 1.13), (0.36, 1.1)]
    face[60:68] = [*inner, (0.1, 1.13), (0, 1.13), (-0.1, 1.13)]
    return face


def course(start: float = 0.6, stop: float = 1.4) -> np.ndarray:
    """A movement (frames,) that rises around ``start`` and falls around ``stop`` seconds."""
    time = np.arange(FRAMES) / FPS
    rise = np.clip((time - start) / 0.2 + 0.5, 0, 1)
    return rise * (1 - np.clip((time - stop) / 0.2 + 0.5, 0, 1))


def clip(
    *shifts: tuple[list[int], tuple[float, float]], when: np.ndarray | None = None
) -> np.ndarray:
    """68 points (frames, 68, 2) in pixels; each shift moves some points by eye distances."""
    amount = course() if when is None else when
    points = np.repeat(neutral()[None], FRAMES, axis=0)
    for which, (x, y) in shifts:
        points[:, which] += amount[:, None, None] * np.array([x, y])
    return points * 70 + 112


def landmarks(points: np.ndarray, **changes: Any) -> dict[str, Any]:
    frames = len(points)
    return {
        "points": points.astype(np.float32),
        "mesh": np.zeros((0, 478, 3), np.float32),
        "valid": np.ones(frames, bool),
        "time": 3.0 + np.arange(frames) / FPS,
        "source_index": 75 + np.arange(frames),
        **changes,
    }


def found(points: np.ndarray, **changes: Any) -> dict[str, dict[str, Any]]:
    told = describe("clip", landmarks(points, **changes), OPTIONS, flat)
    assert told.measurements is not None
    measured = json.loads(json.dumps(told.measurements))
    return {entry["name"]: entry for entry in measured["movements"]}


INNER_BROWS = ([20, 21, 22, 23], (0, -0.1))
OUTER_BROWS = ([17, 18, 25, 26], (0, -0.11))
UPPER_LIDS = ([37, 38, 43, 44], (0, -0.05))
LOWER_LIP = ([56, 57, 58, 65, 66, 67], (0, 0.12))
CORNERS = [48, 54, 60, 64]
JAW = ([7, 8, 9, 56, 57, 58, 65, 66, 67], (0, 0.18))
SMILE = (
    ([48, 60], (-0.105, -0.16)),
    ([54, 64], (0.105, -0.16)),
    ([31], (-0.045, -0.04)),
    ([35], (0.045, -0.04)),
)


@pytest.mark.parametrize(
    ("name", "shifts"),
    [
        ("inner_brow_raise", [INNER_BROWS]),
        ("outer_brow_raise", [OUTER_BROWS]),
        ("brow_lower", [([20, 21, 22, 23], (0, 0.07))]),
        ("lids_widen", [UPPER_LIDS]),
        ("lip_corners_up", SMILE),
        ("lip_corners_down", [(CORNERS, (0, 0.16))]),
        ("lip_stretch", [([48, 60], (-0.11, 0.02)), ([54, 64], (0.11, 0.02))]),
        ("lips_part", [LOWER_LIP]),
        ("jaw_drop", [JAW]),
        ("eyes_close", [([37, 38, 43, 44], (0, 0.115))]),
    ],
)
def test_what_moves_is_found_when_it_moves(name: str, shifts: Any) -> None:
    movement = found(clip(*shifts))[name]
    # the movement passes a quarter of its apex 0.05 s before the middle of its rise
    assert movement["onset"]["seconds"] == pytest.approx(0.55, abs=2.5 / FPS)
    assert movement["offset"]["seconds"] == pytest.approx(1.45, abs=2.5 / FPS)
    assert movement["onset"]["frame"] == 75 + round(movement["onset"]["seconds"] * FPS)
    assert 0.5 < movement["apex"]["seconds"] < 1.5


def test_a_face_that_does_not_move_is_said_to_be_still() -> None:
    told = describe("clip", landmarks(clip()), OPTIONS, flat)
    assert told.measurements is not None
    assert told.measurements["movements"] == []
    assert any(text[1:] in told.text for text in wording.STILL)


def test_detector_noise_is_no_movement() -> None:
    # the mesh strays by about 0.01 eye distances from frame to frame
    noise = np.random.default_rng(0).normal(0, 0.005 * 70, (FRAMES, 68, 2))
    assert found(clip() + noise) == {}


def test_a_smile_under_way_from_the_start_has_no_onset() -> None:
    movement = found(clip(*SMILE, when=course(start=-1.0, stop=0.8)))["lip_corners_up"]
    assert movement["onset"] is None
    assert movement["offset"]["seconds"] == pytest.approx(0.85, abs=2.5 / FPS)


def test_a_smile_that_stays_has_no_offset() -> None:
    movement = found(clip(*SMILE, when=course(stop=9.0)))["lip_corners_up"]
    assert movement["offset"] is None


def test_one_sided_movements_tell_the_side() -> None:
    left = found(clip(([20, 21], (0, -0.16)), ([17, 18], (0, -0.16))))
    assert {entry["side"] for name, entry in left.items() if "brow" in name} == {"left"}
    assert found(clip(*SMILE))["lip_corners_up"]["side"] == "both"


def test_blinks_are_counted_and_are_no_other_movement() -> None:
    time = np.arange(FRAMES) / FPS
    twice = sum(np.exp(-0.5 * ((time - at) / 0.06) ** 2) for at in (0.5, 1.3))
    points = clip(([37, 38, 43, 44], (0, 0.11)), when=twice)
    told = describe("clip", landmarks(points), OPTIONS, flat)
    assert told.measurements is not None
    moments = [blink["seconds"] for blink in told.measurements["blinks"]]
    assert moments == pytest.approx([0.5, 1.3], abs=1 / FPS)
    assert "blink" in told.text
    assert set(found(points)) == {"eyes_close"}


def test_a_clip_that_starts_in_a_blink_does_not_look_wide_eyed_afterwards() -> None:
    points = clip(([37, 38, 43, 44], (0, 0.11)), when=course(start=-1, stop=0.1))
    assert "lids_widen" not in found(points)


def test_rotating_and_scaling_the_crop_changes_nothing() -> None:
    points = clip(*SMILE, INNER_BROWS)
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = (points - 112) @ turn.T * 1.7 + 40
    for name, entry in found(points).items():
        assert found(turned)[name]["strength"] == pytest.approx(entry["strength"], abs=1e-3)


def test_turning_a_rigid_mesh_moves_no_distance() -> None:
    rng = np.random.default_rng(1)
    mesh = rng.normal(0, 40, (478, 3))
    mesh[list(geometry.STABLE_MESH[:4])] = [(-50, 0, 0), (-20, 0, 5), (20, 0, 5), (50, 0, 0)]
    mesh[[195, 10]] = [(0, 40, -20), (0, -60, -5)]
    angles = np.radians(np.linspace(-12, 12, 9))
    turns = np.array(
        [[[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]] for a in angles]
    )
    moved = np.einsum("ni,fji->fnj", mesh, turns) * 1.3 + 100
    upright, turn, nod = geometry.without_pose(moved)
    assert np.ptp(upright, axis=0).max() < 1e-9
    assert np.ptp(turn) == pytest.approx(24, abs=1e-6)
    assert np.ptp(nod) == pytest.approx(0, abs=1e-6)


def test_frames_without_a_face_are_left_out() -> None:
    points = clip(*SMILE)
    points[20:23] = 0
    valid = np.ones(FRAMES, bool)
    valid[20:23] = False
    assert set(found(points, valid=valid)) == set(found(clip(*SMILE)))
    with pytest.raises(RowFailure, match="not one frame"):
        found(points, valid=np.zeros(FRAMES, bool))


def test_a_still_is_compared_with_faces_in_general_and_says_so() -> None:
    points = clip(*SMILE, LOWER_LIP)[25:26]
    told = describe("clip", landmarks(points), OPTIONS, flat)
    assert told.flags == ("rest_assumed",)
    assert told.measurements is not None
    names = {entry["name"] for entry in told.measurements["movements"]}
    assert {"lip_corners_up", "lips_part"} <= names
    assert " s" not in told.text.replace(" strongly", "").replace(" smile", "")


def test_wording_is_a_function_of_clip_and_seed() -> None:
    row = landmarks(clip(*SMILE, LOWER_LIP, INNER_BROWS))
    said = {describe("a", row, OPTIONS, flat).text for _ in range(3)}
    assert len(said) == 1
    others = {describe(f"clip{i}", row, OPTIONS, flat).text for i in range(30)}
    seeds = {describe("a", row, ActionUnitsOptions(seed=i), flat).text for i in range(30)}
    assert len(others) > 10
    assert len(seeds) > 10


def test_the_main_movement_is_told_with_its_times() -> None:
    text = describe("clip", landmarks(clip(*SMILE)), OPTIONS, flat).text
    assert "0.5 s" in text or "0.6 s" in text
    assert "smile" in text


def test_both_ends_of_the_brows_are_told_as_one() -> None:
    text = describe("clip", landmarks(clip(INNER_BROWS, OUTER_BROWS)), OPTIONS, flat).text
    assert any(clause.split(" ", 1)[1] in text for clause in wording.CLAUSES["brows_raise"])
    assert "inner" not in text


def test_many_openings_of_the_mouth_are_told_as_talk() -> None:
    lips = Movement("lips_part", 0.9, "both", 3, 5, 8, 4)
    scene = wording.Scene("c", np.arange(50) / 25, [lips], 0, "", "")
    text = wording.caption(scene, 0)
    assert "again and again" in text or "as in speech" in text
    assert "strongest" not in text


def test_every_movement_has_words_and_a_unit() -> None:
    assert set(movements.NEAREST_UNIT) <= set(wording.CLAUSES)
    assert len(set(movements.NEAREST_UNIT.values())) == 17
