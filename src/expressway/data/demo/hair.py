"""Hair and beards: a back layer behind the head, a front layer over the forehead."""

import numpy as np

from expressway.data.demo import canvas
from expressway.data.demo.canvas import Image
from expressway.data.demo.geometry import CHIN_Y, Shapes
from expressway.data.demo.identity import Identity
from expressway.data.demo.scene import NECK_TONE, Scene
from expressway.data.demo.units import FloatArray

# Half outlines, from the top to the side, mm: (x, y)
_CAP = ((0, -122), (38, -116), (66, -92), (80, -56), (81, -20))
_BACK: dict[str, tuple[tuple[float, float], ...]] = {
    "long": (*_CAP, (86, 30), (90, 90), (84, 150), (50, 160)),
    "bob": (*_CAP, (88, 30), (84, 74), (66, 84), (40, 80)),
    "curly": ((0, -132), (46, -126), (82, -98), (98, -56), (96, -10), (84, 26), (50, 30)),
    "bun": (*_CAP[:4], (76, -10), (40, 0)),
}
_LINES: dict[str, tuple[tuple[float, float], ...]] = {
    "short": ((0, -64), (26, -65), (48, -58), (60, -44), (66, -24), (70, -2)),
    "shaved": ((0, -74), (26, -73), (48, -64), (60, -48), (67, -26), (71, -8)),
    "fringe": ((0, -54), (24, -55), (46, -50), (59, -38), (67, -14), (71, 8)),
    "curly": ((0, -62), (24, -64), (46, -56), (60, -40), (68, -16), (73, 6)),
    "bun": ((0, -74), (26, -72), (48, -62), (61, -44), (67, -24), (71, -6)),
    "long": ((0, -80), (18, -68), (42, -54), (58, -32), (66, 4), (72, 44)),
    "bob": ((0, -56), (26, -56), (48, -50), (60, -30), (67, 2), (72, 46)),
    "parted": ((0, -64), (26, -65), (48, -58), (60, -44), (66, -24), (70, -2)),
}
_PARTED = ((-70, -2), (-66, -26), (-58, -50), (-36, -78), (-8, -62), (24, -54), (50, -46))
_PARTED_END = ((62, -34), (68, -16), (71, 0))


def shapes(identity: Identity) -> Shapes:
    """Control points of the hair in the face's frame (mm)."""
    look, style = identity.shape, identity.style
    wide = np.array([look["width"], 1.0])
    found: Shapes = {}
    if style in _BACK:
        found["hair_back"] = _mirror(np.array(_BACK[style], float)) * wide
    found["hair_front"] = _front(style, look["hairline"]) * wide
    found["hair_top"] = np.array([[0.0, -112.0]])
    if style == "bun":
        found["bun"] = np.array([[0.0, -134.0]])
    if identity.beard:
        found.update(_beard(identity))
    return found


def _mirror(half: FloatArray) -> FloatArray:
    """A closed outline from a half: left side upwards, then right side downwards."""
    return np.concatenate([half[:0:-1] * (-1.0, 1.0), half])


def _front(style: str, hairline: float) -> FloatArray:
    """Outer edge of the hair from left to right, then the hairline back."""
    flat = 0.94 if style == "shaved" else 1.0
    grow = np.array(_BACK["curly"][:5] if style == "curly" else _CAP, float) * flat
    outer = _mirror(grow)
    if style == "parted":
        line = np.array(_PARTED + _PARTED_END, float)
    else:
        line = _mirror(np.array(_LINES[style], float))
    line[2:-2, 1] -= hairline
    return np.concatenate([outer, line[::-1]])


def _beard(identity: Identity) -> Shapes:
    look = identity.shape
    chin = CHIN_Y + look["chin"]
    jaw = look["jaw"]
    half = np.array(
        [
            *([0, 82], [20, 80], [33, 66], [46, 50], [66, 24], [66, 40], [58, 66]),
            *([44 * jaw, 89], [22 * jaw, chin - 2], [0, chin + 2]),
        ],
        float,
    )
    half[:, 0] *= look["width"]
    return {"beard": np.concatenate([half, half[-2:0:-1] * (-1.0, 1.0)])}


def draw_back(image: Image, identity: Identity, scene: Scene, pixels: Shapes) -> None:
    """Hair behind the head."""
    colour = canvas.tone(identity.hair_colour, 0.72)
    if "bun" in pixels:
        reach = float(np.linalg.norm(pixels["face"][4] - pixels["face"][-4])) * 0.2
        canvas.disc(image, pixels["bun"][0], reach, canvas.tone(identity.hair_colour, 0.9))
    if "hair_back" in pixels:
        outline = canvas.smooth(pixels["hair_back"], closed=True)
        if identity.style == "curly":
            _draw_curls(image, outline, colour)
        canvas.fill(image, outline, colour)
        canvas.fill(image, scene.neck, canvas.tone(identity.skin_colour, NECK_TONE))


def _draw_curls(image: Image, outline: FloatArray, colour: canvas.Colour) -> None:
    size = image.shape[0]
    for number, point in enumerate(outline[::3]):
        canvas.disc(image, point, (0.026 + 0.008 * (number % 3)) * size, colour)


def draw_front(image: Image, identity: Identity, scene: Scene, pixels: Shapes) -> None:
    """Hair over the forehead, with strands and a sheen."""
    colour, points = identity.hair_colour, pixels["hair_front"]
    outer, line = canvas.smooth(points[:9]), canvas.smooth(points[9:])
    if identity.style == "shaved":
        colour = canvas.mix(identity.skin_colour, colour, 0.62)
    if identity.style == "curly":
        _draw_curls(image, outer, colour)
        _draw_curls(image, line[8:-8] - (0.0, 0.02 * scene.size), colour)
    canvas.fill(image, np.concatenate([outer, line]), colour)
    if identity.style not in ("curly", "shaved"):
        _draw_strands(image, colour, outer, line[::-1], pixels["hair_top"][0])


def _draw_strands(
    image: Image, colour: canvas.Colour, outer: FloatArray, line: FloatArray, top: FloatArray
) -> None:
    for number in range(4, 45):
        share = number / 48.0
        start = outer[int(share * (len(outer) - 1))]
        end = line[int(share * (len(line) - 1))]
        bend = 0.5 * (start + end) + 0.06 * (start - top)
        level = (0.8, 1.12, 0.92, 1.2, 0.86)[number % 5]
        strand = canvas.smooth(np.array([0.9 * start + 0.1 * end, bend, end]), density=4)
        canvas.line(image, strand, canvas.tone(colour, level), 1)


def draw_beard(image: Image, identity: Identity, scene: Scene, pixels: Shapes) -> None:
    """Beard or moustache, before the lips are drawn; the jaw's drop carries it along."""
    import cv2

    if not identity.beard:
        return
    strength = {"stubble": 0.4, "full": 0.85, "moustache": 0.8}[identity.beard]
    mask = np.zeros((scene.size, scene.size), np.uint8)
    if identity.beard != "moustache":
        points = pixels["beard"].copy()
        drop = pixels["face"][9] - points[9]
        low = np.array([0, 0, 0, 0, 0, 0.1, 0.4, 0.8, 1.0, 1.0])
        weight = np.concatenate([low, low[-2:0:-1]])
        canvas.fill(mask, canvas.smooth(points + weight[:, None] * drop, closed=True), 255)
    lips, tip = pixels["lips"], pixels["nose_tip"][0]
    left, right = lips[0], lips[6]
    above = lips[3] + 0.45 * (tip - lips[3])
    moustache = np.array([left, 0.5 * (left + above), above, 0.5 * (right + above), right, lips[3]])
    canvas.fill(mask, canvas.smooth(moustache, closed=True), 255)
    rows, columns = canvas.window(pixels["beard"], 16.0 * scene.scale, scene.size)
    soft = cv2.GaussianBlur(mask[rows, columns], (0, 0), 2.0 * scene.scale + 0.5)
    paint = canvas.tone(identity.hair_colour, 0.85)
    canvas.blend(image[rows, columns], cv2.convertScaleAbs(soft, alpha=strength), paint)
