"""Light and shadow on a face: a sum of soft spots, and wrinkles as faint lines.

All spots are Gaussians along the axes, so one matrix product draws them all.
"""

import numpy as np

from expressway.data.demo import canvas
from expressway.data.demo.canvas import Image
from expressway.data.demo.geometry import Shapes, UnitReader
from expressway.data.demo.identity import Identity
from expressway.data.demo.scene import OVERSAMPLING, Scene
from expressway.data.demo.units import FloatArray

Spot = tuple[FloatArray, float, float, float]
_COARSE = 4


def shade(
    image: Image, identity: Identity, scene: Scene, pixels: Shapes, units: UnitReader
) -> None:
    """Multiply light and shadow onto the skin, in place."""
    import cv2

    spots = _form(scene, pixels) + _nose(pixels) + _moving(identity, pixels, units)
    field = _sum_of_spots(spots, scene)
    lines = _wrinkles(identity, scene, pixels, units)
    level = cv2.subtract(cv2.convertScaleAbs(field, alpha=128.0, beta=128.0), lines)
    cv2.multiply(image, cv2.merge([level, level, level]), dst=image, scale=1.0 / 128.0)


def _sum_of_spots(spots: list[Spot], scene: Scene) -> Image:
    """The spots' sum (size, size); worked out coarsely, since nothing in it is sharp."""
    import cv2

    centres = np.array([spot[0] for spot in spots], np.float32) / _COARSE
    numbers = np.array([spot[1:] for spot in spots], np.float32)
    reach = numbers[:, 1:] * np.float32(scene.scale / _COARSE)
    axis = np.arange(scene.size // _COARSE, dtype=np.float32)
    across = _bell((axis - centres[:, :1]) / reach[:, :1])
    down = _bell((axis - centres[:, 1:]) / reach[:, 1:])
    field = (down * numbers[:, :1]).T @ across
    grown: Image = cv2.resize(field, (scene.size, scene.size))
    return grown


def _bell(distance: FloatArray) -> FloatArray:
    # Far tails are cut: denormal numbers would make the product ten times slower.
    bell: FloatArray = np.exp(np.maximum(-0.5 * distance * distance, -16.0))
    return bell


def _form(scene: Scene, pixels: Shapes) -> list[Spot]:
    """The roundness of the head; (centre, strength, width mm, height mm)."""
    face = pixels["face"]
    middle = 0.5 * (face[4] + face[-4])
    chin = pixels["chin"][0]
    lit = canvas.offset(middle, scene.side * 26.0 * scene.scale, 0.0)
    spots: list[Spot] = [
        (lit, 0.1, 42.0, 70.0),
        (face[4], -0.24, 13.0, 48.0),
        (face[-4], -0.24, 13.0, 48.0),
        (face[6], -0.16, 15.0, 26.0),
        (face[-6], -0.16, 15.0, 26.0),
        (face[9], -0.2, 40.0, 9.0),
        (0.6 * face[0] + 0.4 * middle, 0.07, 30.0, 16.0),
        (chin, 0.06, 12.0, 9.0),
        (0.5 * (pixels["lips"][9] + chin), -0.12, 15.0, 4.0),
    ]
    for tag in "LR":
        eye = pixels[f"iris{tag}"][0]
        spots.append((0.55 * eye + 0.45 * pixels[f"brow{tag}"][2], -0.13, 15.0, 6.5))
        spots.append((pixels[f"bag{tag}"][4], -0.07, 14.0, 4.0))
        spots.append((pixels[f"cheek{tag}"][0], 0.06, 14.0, 12.0))
    return spots


def _nose(pixels: Shapes) -> list[Spot]:
    bridge, tip, alae = pixels["bridge"], pixels["nose_tip"][0], pixels["alae"]
    spots: list[Spot] = [(point, 0.075, 3.6, 8.0) for point in bridge]
    spots += [
        (tip, 0.15, 5.5, 5.0),
        (tip + 0.62 * (pixels["lips"][3] - tip), -0.14, 9.0, 3.2),
        (alae[1], -0.15, 4.0, 5.5),
        (alae[4], -0.15, 4.0, 5.5),
    ]
    for outer, inner in ((alae[0], bridge[2]), (alae[3], bridge[2])):
        for share in (0.3, 0.6):
            spots.append((share * outer + (1 - share) * inner, -0.09, 4.0, 8.0))
    for tag in "LR":
        spots.append((0.7 * bridge[0] + 0.3 * pixels[f"lid_up{tag}"][0], -0.16, 4.5, 8.0))
    return spots


def _moving(identity: Identity, pixels: Shapes, units: UnitReader) -> list[Spot]:
    """Bulges and dents that units make."""
    spots: list[Spot] = []
    for side, tag in enumerate("LR"):
        bulge = 0.11 * units.side(6, side) + 0.09 * units.side(12, side)
        cheek, corner = pixels[f"cheek{tag}"][0], pixels["corners"][side]
        dimple = 0.3 * units.side(14, side) + 0.12 * units.side(12, side)
        outward = corner + 0.16 * (corner - pixels["corners"][1 - side])
        spots += [
            (cheek, bulge, 12.0, 8.5),
            (pixels[f"bag{tag}"][4], -1.1 * bulge, 15.0, 3.0),
            (outward, -dimple, 3.6, 6.5),
            (corner, -0.3 * units.side(15, side), 5.0, 6.0),
            (pixels[f"glabella{tag}"][1], -0.12 * units.side(4, side), 3.0, 9.0),
        ]
        depth = -0.05 - 0.16 * _fold(units, side)
        spots += [(point, depth, 3.6, 4.6) for point in pixels[f"fold{tag}"][:3]]
    chin = pixels["chin"][0]
    spots.append((0.55 * pixels["lips"][9] + 0.45 * chin, -0.3 * units(17), 12.0, 2.6))
    spots.append((chin, 0.12 * units(17), 9.0, 6.0))
    spots.append((pixels["bridge"][1], -0.14 * units(9), 9.0, 8.0))
    return spots


def _fold(units: UnitReader, side: int) -> float:
    pulled = 0.8 * units.side(12, side) + 0.9 * units.side(10, side) + 0.7 * units.side(9, side)
    return min(1.0, pulled + 0.3 * units.side(20, side))


def _wrinkles(identity: Identity, scene: Scene, pixels: Shapes, units: UnitReader) -> Image:
    """Faint lines (size, size), to be taken off a brightness of 128."""
    import cv2

    lines = np.zeros((scene.size, scene.size), np.uint8)
    age = identity.shape["lines"]
    for side, tag in enumerate("LR"):
        _line(lines, canvas.smooth(pixels[f"fold{tag}"]), 0.12 * age + 0.55 * _fold(units, side))
        _line(lines, canvas.smooth(pixels[f"glabella{tag}"]), 0.9 * units.side(4, side))
        _line(
            lines,
            canvas.smooth(pixels[f"bag{tag}"][1:-1], density=2),
            0.1 * age + 0.4 * units.side(6, side) + 0.3 * units.side(7, side),
        )
        for pair in pixels[f"feet{tag}"].reshape(3, 2, 2):
            _line(lines, pair, 0.55 * units.side(6, side))
        up = np.array([0.0, -7.5 * scene.scale])
        for level in range(3):
            _line(lines, pixels[f"forehead{tag}"] + level * up, 0.55 * units.side(1, side))
            _line(lines, pixels[f"temple{tag}"] + level * up, 0.55 * units.side(2, side))
    for pair in pixels["nose_lines"].reshape(6, 2, 2):
        _line(lines, pair, 0.6 * units(9))
    alae = pixels["alae"]
    _line(lines, canvas.smooth(alae[:3]), 0.55)
    _line(lines, canvas.smooth(alae[3:]), 0.55)
    soft: Image = cv2.GaussianBlur(lines, (7, 7), 0)
    return soft


def _line(lines: Image, points: FloatArray, strength: float) -> None:
    if strength > 0.03:
        canvas.line(lines, points, min(strength, 1.0) * 105.0, OVERSAMPLING)
