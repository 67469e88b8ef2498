"""Scene of a recording: background, clothes, light, and the camera's frame."""

from dataclasses import dataclass

import numpy as np

from expressway.data.demo import canvas
from expressway.data.demo.canvas import Image
from expressway.data.demo.identity import Colour, Identity
from expressway.data.demo.units import FloatArray

SIZE = 224
OVERSAMPLING = 2
NECK_TONE = 0.8


@dataclass(frozen=True)
class Scene:
    """A set, drawn `OVERSAMPLING` times finer than the finished frame.

    `size` counts the fine pixels of a side; `backdrop` (size, size, 3) is the wall with the body
    before it; `scale` is fine pixels per mm, `anchor` (2,) the fine pixel of the point between
    the eyes at rest; `side` is where the light comes from, -1 to 1; `lamp` has the finished size,
    128 meaning 1; `neck` (n, 2) is the visible neck, which hair must leave free.
    """

    size: int
    scale: float
    anchor: FloatArray
    side: float
    backdrop: Image
    lamp: Image
    neck: FloatArray

    def stroke(self, width: float) -> int:
        """A line width, given in finished pixels, in fine pixels."""
        return max(1, round(width * OVERSAMPLING))

    def finish(self, image: Image) -> Image:
        """The fine drawing as a frame under the lamp."""
        import cv2

        small = cv2.resize(image, self.lamp.shape[1::-1], interpolation=cv2.INTER_AREA)
        lit: Image = cv2.multiply(small, self.lamp, scale=1.0 / 128.0)
        return lit


def make_scene(rng: np.random.Generator, identity: Identity, size: int = SIZE) -> Scene:
    """Draw a set for a person."""
    fine = size * OVERSAMPLING
    scale = rng.uniform(0.70, 0.80) * fine / 224.0
    anchor = np.array([0.5, 0.45]) * fine + rng.normal(0.0, 0.018, 2) * fine
    side = float(rng.uniform(-1.0, 1.0))
    backdrop = _background(rng, fine)
    _draw_body(backdrop, rng, identity, scale, anchor)
    neck = _NECK * scale + anchor
    return Scene(fine, float(scale), anchor, side, backdrop, _lamp(rng, size, side), neck)


def _background(rng: np.random.Generator, size: int) -> Image:
    """A wall out of focus: two tones, soft spots."""
    import cv2

    colour = _muted(rng)
    base = np.array(colour)
    other = np.clip(base * rng.uniform(0.65, 0.95) + rng.normal(0.0, 12.0, 3), 10, 245)
    small = 28
    ramp = np.linspace(0.0, 1.0, small)[:, None] * rng.uniform(-1, 1) + np.linspace(0.0, 1.0, small)
    wall = base + (other - base) * (ramp[..., None] - ramp.min()) / np.ptp(ramp)
    wall = np.ascontiguousarray(wall.clip(0, 255).astype(np.uint8))
    for _ in range(int(rng.integers(0, 6))):
        spot = rng.uniform(0.0, small, 2)
        radius, level = rng.uniform(1.5, 5.0), rng.uniform(0.7, 1.25)
        canvas.disc(wall, spot, radius, canvas.tone(colour, level))
    wall = cv2.GaussianBlur(wall, (0, 0), 1.2)
    grown: Image = cv2.resize(wall, (size, size), interpolation=cv2.INTER_CUBIC)
    return grown


def _muted(rng: np.random.Generator) -> Colour:
    import colorsys

    red, green, blue = colorsys.hsv_to_rgb(
        rng.uniform(), rng.uniform(0.05, 0.4), rng.uniform(0.45, 0.85)
    )
    return red * 255.0, green * 255.0, blue * 255.0


_NECK = np.array(
    [[-44, 60], [-43, 128], [-30, 150], [0, 161], [30, 150], [43, 128], [44, 60]], float
)


def _draw_body(
    image: Image, rng: np.random.Generator, identity: Identity, scale: float, anchor: FloatArray
) -> None:
    cloth = _cloth(rng)
    shoulders = [[-250, 260], [-190, 170], [-110, 142], [-48, 126], [-30, 150], [0, 162]]
    collar = np.array(shoulders + [[-x, y] for x, y in shoulders[-2::-1]], float)
    wide = _NECK * (1.1, 1.1) - (0.0, 6.0)
    canvas.fill(image, wide * scale + anchor, canvas.tone(identity.skin_colour, NECK_TONE))
    canvas.fill(image, canvas.smooth(collar) * scale + anchor, cloth)
    edge = canvas.smooth(collar[3:8]) * scale + anchor
    canvas.line(image, edge, canvas.tone(cloth, 0.7), 2 * OVERSAMPLING)


def _cloth(rng: np.random.Generator) -> Colour:
    import colorsys

    red, green, blue = colorsys.hsv_to_rgb(
        rng.uniform(), rng.uniform(0.1, 0.75), rng.uniform(0.2, 0.8)
    )
    return red * 255.0, green * 255.0, blue * 255.0


def _lamp(rng: np.random.Generator, size: int, side: float) -> Image:
    """Brightness over the frame: level, fall-off to one side, darker corners, colour cast."""
    axis = np.linspace(-1.0, 1.0, size)
    fall = 1.0 + 0.13 * side * axis[None, :] - 0.05 * axis[:, None]
    corners = 1.0 - 0.1 * (axis[None, :] ** 2 + axis[:, None] ** 2)
    level = rng.uniform(0.9, 1.1)
    cast = 1.0 + rng.normal(0.0, 0.025, 3)
    lamp = 128.0 * level * (fall * corners)[..., None] * cast
    return np.ascontiguousarray(lamp.clip(0, 255).astype(np.uint8))
