"""Geometry of a rendered face: control points as a function of identity and action units.

Coordinates are millimetres in the face's own frame: x to the right of the image, y down, z towards
the camera; the origin lies between the eyes. Index 0 of a pair is the left of the image.
"""

import numpy as np

from expressway.data.demo.identity import Identity
from expressway.data.demo.units import INDEX, FloatArray

Shapes = dict[str, FloatArray]

_SIGNS = (-1.0, 1.0)
EYE_X = 31.5
MOUTH_Y = 66.0
CHIN_Y = 110.0


class UnitReader:
    """Intensities of one moment by unit number: `reader(12)` both sides, `reader.side(12, 0)`."""

    def __init__(self, sides: FloatArray) -> None:
        self._sides = sides.tolist()
        self._mean = sides.mean(axis=0).tolist()

    def __call__(self, unit: int) -> float:
        """Mean intensity of both sides."""
        return float(self._mean[INDEX[unit]])

    def side(self, unit: int, side: int) -> float:
        """Intensity of one side."""
        return float(self._sides[side][INDEX[unit]])


def build(identity: Identity, sides: FloatArray, gaze: FloatArray) -> Shapes:
    """All control points of one moment.

    Args:
        identity: who.
        sides: unit intensities (2, 17), left and right of the image.
        gaze: where the eyes look, (2,) in mm on the eyeball.

    Returns:
        Name -> points (n, 2).
    """
    units = UnitReader(sides)
    shapes: Shapes = {}
    shapes.update(_outline(identity, units))
    for side, sign in enumerate(_SIGNS):
        tag = "LR"[side]
        shapes[f"brow{tag}"] = _brow(identity, units, side, sign)
        shapes.update(_eye(identity, units, side, sign, gaze))
        shapes.update(_cheek_lines(identity, units, side, sign))
    shapes.update(_nose(identity, units))
    shapes.update(_mouth(identity, units))
    return shapes


_OUTSTANDING = {"nose_tip": 20.0, "bridge": 9.0, "nostrils": 10.0, "alae": 8.0}
_FLAT = {"hair_front", "hair_back", "hair_top", "bun", "beard"}
_FLAT_DEPTH = 12.0


def stack(shapes: Shapes) -> tuple[FloatArray, list[int]]:
    """All shapes in one array (n, 3) with their depth, and where each one ends.

    The face is an ellipsoid, the nose stands out of it, hair lies in a plane.
    """
    flat = np.concatenate(list(shapes.values()))
    x, y = flat[:, 0] / 84.0, flat[:, 1] / 140.0
    depth = 74.0 * np.sqrt(np.maximum(1.0 - x * x - y * y, 0.0))
    ends: list[int] = []
    start = 0
    for name, points in shapes.items():
        end = start + len(points)
        if name in _FLAT:
            depth[start:end] = _FLAT_DEPTH
        elif name in _OUTSTANDING:
            depth[start:end] += _OUTSTANDING[name]
        ends.append(end)
        start = end
    return np.column_stack([flat, depth]), ends


def drop_of_jaw(units: UnitReader) -> float:
    """How far the chin is down, mm."""
    return 14.5 * units(26) - 2.0 * units(17)


def _outline(identity: Identity, units: UnitReader) -> Shapes:
    look = identity.shape
    drop = drop_of_jaw(units)
    chin = CHIN_Y + look["chin"]
    half = np.array(
        [
            [0.0, -96.0],
            [30.0, -90.0],
            [54.0, -70.0],
            [67.0, -38.0],
            [70.5, -2.0],
            [68.0, 30.0],
            [60.5 * (0.5 + 0.5 * look["jaw"]), 62.0],
            [44.0 * look["jaw"], 88.0],
            [22.0 * look["jaw"], chin - 4.0],
            [0.0, chin],
        ]
    )
    half[:, 0] *= look["width"]
    low = np.clip((half[:, 1] - 28.0) / 70.0, 0.0, 1.0)
    half[:, 1] += drop * low * low * (3.0 - 2.0 * low)
    half[5:7, 0] += 2.2 * units(12) + 1.2 * units(6) + 1.0 * units(20)
    mirrored = half[-2:0:-1] * (-1.0, 1.0)
    outline = np.concatenate([half, mirrored])
    ears = {
        f"ear{tag}": np.array([[sign * 72.0 * look["width"], 12.0]])
        for tag, sign in zip("LR", _SIGNS, strict=True)
    }
    return {"face": outline, **ears}


_BROW_X = np.array([13.0, 23.0, 34.0, 45.0, 54.5])
_BROW_ARCH = np.array([0.5, -2.6, -5.2, -4.6, 1.2])
_BROW_WIDTH = np.array([3.0, 4.0, 3.6, 2.6, 0.7])
_INNER = np.array([1.0, 0.82, 0.42, 0.12, 0.0])
_OUTER = np.array([0.0, 0.15, 0.6, 1.0, 0.95])
_LOWER = np.array([1.0, 0.95, 0.7, 0.4, 0.2])


def _brow(identity: Identity, units: UnitReader, side: int, sign: float) -> FloatArray:
    look = identity.shape
    up = 12.5 * units.side(1, side) * _INNER + 12.0 * units.side(2, side) * _OUTER
    down = 8.0 * units.side(4, side) * _LOWER + 3.5 * units.side(9, side) * _INNER
    x = _BROW_X - 4.5 * units.side(4, side) * _LOWER
    middle = (
        -21.5
        + look["brow_height"]
        + _BROW_ARCH * look["brow_arch"]
        + look["brow_tilt"] * (x - 34.0) / 20.0
        - up
        + down
    )
    half = _BROW_WIDTH * look["brow_thickness"]
    above = np.column_stack([sign * x, middle - half])
    below = np.column_stack([sign * x, middle + half * 0.85])
    return np.concatenate([above, below[::-1]])


_LID_T = np.linspace(-1.0, 1.0, 9)
_LID_ARC = (1.0 - np.abs(_LID_T) ** 2.2) ** 0.8


def _eye(identity: Identity, units: UnitReader, side: int, sign: float, gaze: FloatArray) -> Shapes:
    look = identity.shape
    tag = "LR"[side]
    size = look["eye_size"]
    centre = sign * (EYE_X + look["eye_gap"])
    x = centre + sign * 14.8 * size * _LID_T
    base = 0.4 - (0.9 + look["eye_tilt"]) * _LID_T
    wide = 5.6 * look["lid"] * size
    top = wide + 4.6 * units.side(5, side) - 2.6 * units.side(7, side) - 0.9 * units.side(6, side)
    low = 4.2 * size - 1.9 * units.side(7, side) - 2.2 * units.side(6, side)
    low = max(low - 0.5 * units.side(9, side), 0.6) + 0.9 * units.side(5, side)
    shut = units.side(43, side)
    top = max(top, 1.4) * (1.0 - shut) - low * 0.9 * shut
    low -= 0.8 * shut
    upper = np.column_stack([x, base - top * _LID_ARC])
    lower = np.column_stack([x, base + low * _LID_ARC])
    lifted = 4.6 + 0.9 * look["lid"] - 2.6 * units.side(5, side) - 1.2 * units.side(4, side)
    crease = np.column_stack([x, base - (max(top, 0.0) + max(lifted, 1.2)) * _LID_ARC - 0.4])
    bag = np.column_stack([x, base + (low + 4.6) * _LID_ARC + 1.0])
    return {
        f"lid_up{tag}": upper,
        f"lid_low{tag}": lower,
        f"crease{tag}": crease,
        f"bag{tag}": bag,
        f"iris{tag}": np.array([[centre + gaze[0], -0.8 + gaze[1]]]),
    }


_FEET = np.array([[51, -2], [58, -6], [51.5, 2], [60, 2], [51, 6], [58, 10]], float)
_FOREHEAD = np.array([[0.0, -42.5], [12.0, -45.0], [25.0, -46.0]])
_TEMPLE = np.array([[21.0, -46.0], [34.0, -45.0], [47.0, -40.0]])
_GLABELLA = np.array([[4.5, -31.0], [3.4, -24.0], [4.8, -16.0]])


def _cheek_lines(identity: Identity, units: UnitReader, side: int, sign: float) -> Shapes:
    """Lines that come and go with the units: folds, crow's feet, wrinkles of the forehead."""
    tag = "LR"[side]
    lift = 7.0 * units.side(12, side) + 3.0 * units.side(6, side)
    wide = 5.0 * units.side(12, side) + 3.0 * units.side(20, side)
    up = 3.0 * units.side(9, side) + 2.5 * units.side(10, side)
    fold = np.array(
        [
            [sign * 17.0, 37.0 - up],
            [sign * (27.0 + wide), 48.0 - up - 0.5 * lift],
            [sign * (34.0 + wide), 62.0 - lift],
            [sign * (35.0 + wide), 72.0 - lift],
        ]
    )
    brow = 6.0 * units.side(1, side) + 4.0 * units.side(2, side)
    feet = _FEET * (sign, 1.0)
    return {
        f"fold{tag}": fold,
        f"feet{tag}": feet,
        f"glabella{tag}": _GLABELLA * (sign, 1.0),
        f"forehead{tag}": _FOREHEAD * (sign, 1.0) - (0.0, brow),
        f"temple{tag}": _TEMPLE * (sign, 1.0) - (0.0, brow),
        f"cheek{tag}": np.array([[sign * 38.0, 32.0 - 0.8 * lift]]),
    }


def _nose(identity: Identity, units: UnitReader) -> Shapes:
    look = identity.shape
    length, up = look["nose_length"], 5.0 * units(9) + 1.6 * units(10)
    spread = 15.5 * look["nose_width"] + 2.2 * units(9) + 1.0 * units(12)
    y = 41.0 + length
    bridge = np.array([[0.0, -4.0], [0.0, 8.0], [0.0, 19.0], [0.0, 29.0 + 0.6 * length]])
    alae = [[-spread, y - 4.0 - up], [-spread - 1.0, y + 0.5 - up], [-spread + 4.0, y + 4.0 - up]]
    alae += [[-x, height] for x, height in alae]
    wrinkles = [
        [sign * x, height + shift]
        for sign in _SIGNS
        for height in (4.0, 10.0, 16.0)
        for x, shift in ((3.0, -1.5), (10.0, 2.0))
    ]
    return {
        "bridge": bridge,
        "nose_tip": np.array([[0.0, y - 3.0 - 0.5 * up]]),
        "nostrils": np.array([[-7.4, y + 3.2 - 0.7 * up], [7.4, y + 3.2 - 0.7 * up]])
        * (look["nose_width"], 1.0),
        "alae": np.array(alae),
        "nose_lines": np.array(wrinkles),
    }


def _corner(identity: Identity, units: UnitReader, side: int, sign: float) -> tuple[float, float]:
    look = identity.shape
    pulled = 7.5 * units.side(12, side) + 9.0 * units.side(20, side) + 3.0 * units.side(14, side)
    narrowed = 4.5 * units(23) + 4.5 * units(26) + 1.5 * units(17)
    y = (
        -10.0 * units.side(12, side)
        + 8.5 * units.side(15, side)
        + 3.5 * units.side(20, side)
        - 2.5 * units.side(14, side)
        + 4.0 * units(26)
        - look["mouth_curve"]
    )
    return sign * (24.5 * look["mouth_width"] + pulled - narrowed), y


def _mouth(identity: Identity, units: UnitReader) -> Shapes:
    """Outer and inner lip line, closed loops: left corner, upper, right corner, lower."""
    look = identity.shape
    centre_y = MOUTH_Y + look["mouth_height"] + 0.5 * look["nose_length"]
    left, right = (_corner(identity, units, side, sign) for side, sign in enumerate(_SIGNS))
    thin = 1.0 - 0.62 * units(23) - 0.3 * units(20) - 0.25 * units(12) - 0.15 * units(26)
    full = look["lips"] * max(thin, 0.22)
    raised = 5.5 * units(10) + 2.2 * units(9) + 2.2 * units(25) + 1.6 * units(26)
    raised += 1.2 * units(12) + 2.2 * units(17)
    lowered = max(6.0 * units(25) + 13.0 * units(26) - 4.0 * units(17), -raised)
    gap = max(raised - 3.0 * units(17) - 0.8 * units(12), 0.0) if lowered > 0.3 else 0.0
    upper_out = np.array([-5.6, -8.6, -7.0]) * full - raised * np.array([1.0, 1.0, 0.92])
    upper_in = np.array([-0.3, 0.3, 0.8]) - np.array([0.8, 1.0, 1.0]) * gap
    lower_in = np.array([0.1, 0.6, 1.0]) + np.array([0.8, 0.97, 1.0]) * lowered
    lower_out = np.array([6.6, 9.2, 9.8]) * full + np.array([0.8, 0.97, 1.0]) * lowered
    if lowered <= 0.3:
        press = raised * 0.55 * np.array([0.8, 1.0, 1.0])
        upper_in, lower_in = upper_in - press, upper_in - press + 0.3
        lower_out = lower_out - press

    centre = np.array([0.0, centre_y])
    return {
        "lips": _loop(left, right, upper_out, lower_out) + centre,
        "opening": _loop(left, right, upper_in, lower_in) + centre,
        "corners": np.array([left, right]) + centre,
        "chin": np.array([[0.0, centre_y + 24.0 + drop_of_jaw(units)]]),
    }


_SPAN = np.array([0.62, 0.28, 0.0])


def _loop(
    left: tuple[float, float], right: tuple[float, float], upper: FloatArray, lower: FloatArray
) -> FloatArray:
    """Twelve points around a lip line; heights are given from the corner side to the middle."""
    middle = 0.125 * (left[1] + right[1])
    follow = _SPAN**1.3
    sag_left = left[1] * follow + middle * (1.0 - follow)
    sag_right = right[1] * follow + middle * (1.0 - follow)
    x = np.concatenate([_SPAN * left[0], _SPAN[1::-1] * right[0]])
    sag = np.concatenate([sag_left, sag_right[1::-1]])
    over = np.column_stack([x, np.concatenate([upper, upper[1::-1]]) + sag])
    under = np.column_stack([x, np.concatenate([lower, lower[1::-1]]) + sag])
    return np.concatenate([[left], over, [right], under[::-1]])
