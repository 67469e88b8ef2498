"""Draw one moment of a face: flat shapes, then shading, then eyes, brows and hair.

The face frame (mm) is turned by the head pose, projected in parallel and scaled to pixels.
"""

from dataclasses import dataclass

import numpy as np

from expressway.data.demo import canvas, geometry, hair
from expressway.data.demo.canvas import Image
from expressway.data.demo.identity import Identity
from expressway.data.demo.scene import OVERSAMPLING, Scene
from expressway.data.demo.shading import shade
from expressway.data.demo.units import FloatArray


@dataclass(frozen=True)
class Moment:
    """What changes from frame to frame.

    `sides` (2, 17) unit intensities; `pose` yaw, pitch, roll in degrees, then x and y in mm;
    `gaze` (2,) in mm on the eyeball.
    """

    sides: FloatArray
    pose: FloatArray
    gaze: FloatArray


def draw(identity: Identity, scene: Scene, moment: Moment) -> tuple[Image, FloatArray]:
    """Draw one frame.

    Returns:
        The image (size, size, 3), RGB, and the five points (5, 2) in pixels that face detectors
        name: left eye, right eye, nose, left and right mouth corner as seen in the image.
    """
    shapes = geometry.build(identity, moment.sides, moment.gaze)
    shapes.update(hair.shapes(identity))
    pixels = project(shapes, scene, moment.pose)
    units = geometry.UnitReader(moment.sides)
    image = scene.backdrop.copy()
    hair.draw_back(image, identity, scene, pixels)
    _draw_skin(image, identity, scene, pixels)
    _draw_mouth(image, identity, scene, pixels, units)
    shade(image, identity, scene, pixels, units)
    _draw_nostrils(image, identity, scene, pixels)
    for tag in "LR":
        _draw_eye(image, identity, scene, pixels, tag)
        _draw_brow(image, identity, pixels, tag)
    hair.draw_front(image, identity, scene, pixels)
    if identity.glasses:
        _draw_glasses(image, identity, scene, pixels)
    return scene.finish(image), five_points(pixels) / OVERSAMPLING


def project(shapes: geometry.Shapes, scene: Scene, pose: FloatArray) -> geometry.Shapes:
    """Face frame (mm) to pixels for all shapes at once."""
    stacked, ends = geometry.stack(shapes)
    turn = rotation(pose[:3])
    flat = stacked @ turn[:2].T * scene.scale + scene.anchor + pose[3:] * scene.scale
    starts = [0, *ends[:-1]]
    return {name: flat[a:b] for name, a, b in zip(shapes, starts, ends, strict=True)}


def rotation(degrees: FloatArray) -> FloatArray:
    """Rotation matrix (3, 3) of yaw, pitch and roll in degrees."""
    yaw, pitch, roll = np.radians(degrees)
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    about_y = np.array([[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]])
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, cp, sp], [0.0, -sp, cp]])
    about_z = np.array([[cr, -sr, 0.0], [sr, cr, 0.0], [0.0, 0.0, 1.0]])
    turned: FloatArray = about_z @ about_x @ about_y
    return turned


def five_points(pixels: geometry.Shapes) -> FloatArray:
    """Eye centres, nose tip and mouth corners (5, 2)."""
    eyes = [0.5 * (pixels[f"lid_low{tag}"][0] + pixels[f"lid_low{tag}"][-1]) for tag in "LR"]
    return np.array([*eyes, pixels["nose_tip"][0], *pixels["corners"]])


def _draw_skin(image: Image, identity: Identity, scene: Scene, pixels: geometry.Shapes) -> None:
    skin = identity.skin_colour
    turn = pixels["face"][0] - pixels["face"][9]
    angle = float(np.degrees(np.arctan2(turn[0], -turn[1])))
    for tag in "LR":
        _ellipse(image, pixels[f"ear{tag}"][0], (8.0, 17.0), angle, canvas.tone(skin, 0.9), scene)
        _ellipse(image, pixels[f"ear{tag}"][0], (4.0, 10.0), angle, canvas.tone(skin, 0.74), scene)
    canvas.fill(image, canvas.smooth(pixels["face"], closed=True), skin)
    hair.draw_beard(image, identity, scene, pixels)


def _ellipse(
    image: Image,
    centre: FloatArray,
    radii: tuple[float, float],
    angle: float,
    colour: canvas.Colour,
    scene: Scene,
) -> None:
    around = np.linspace(0.0, 2.0 * np.pi, 25)[:-1]
    turn = np.radians(angle)
    points = np.column_stack([radii[0] * np.cos(around), radii[1] * np.sin(around)])
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    canvas.fill(image, points @ matrix.T * scene.scale + centre, colour)


def _draw_mouth(
    image: Image,
    identity: Identity,
    scene: Scene,
    pixels: geometry.Shapes,
    units: geometry.UnitReader,
) -> None:
    lips = canvas.smooth(pixels["lips"], closed=True)
    opening = pixels["opening"]
    smooth_opening = canvas.smooth(opening, closed=True)
    colour = identity.lip_colour
    canvas.fill(image, lips, colour)
    upper = np.concatenate([lips[:37], smooth_opening[36::-1]])
    canvas.fill(image, upper, canvas.tone(colour, 0.86))
    gap = float(np.linalg.norm(opening[9] - opening[3])) / scene.scale
    if gap > 1.5:
        _draw_inside(image, scene, opening, smooth_opening, gap)
    seam = canvas.smooth(opening[:7])
    canvas.line(image, seam, canvas.tone(colour, 0.45), scene.stroke(1))
    for corner in pixels["corners"]:
        canvas.disc(image, corner, 1.3 * scene.scale, canvas.tone(colour, 0.5))


def _draw_inside(
    image: Image, scene: Scene, opening: FloatArray, smooth_opening: FloatArray, gap: float
) -> None:
    """Mouth cavity with upper teeth and, when wide open, the tongue."""
    rows, columns = canvas.window(smooth_opening, 2.0, scene.size)
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    patch = np.full((*mask.shape, 3), (52, 18, 22), np.uint8)
    origin = np.array([columns.start, rows.start])
    canvas.fill(mask, smooth_opening - origin, 255)
    local = opening - origin
    down = local[9] - local[3]
    if gap > 9.0:
        middle = local[9] + 0.12 * down
        _ellipse(patch, middle, (11.0, 0.42 * gap), 0.0, (168, 76, 78), scene)
    teeth = min(0.7, 4.6 / gap)
    edge = canvas.smooth(local[1:6]) + down * teeth
    canvas.fill(patch, np.concatenate([local[1:6] - down, edge[::-1]]), (236, 230, 220))
    alpha = mask[:, :, None].astype(np.float32) / 255.0
    under = image[rows, columns]
    np.copyto(under, (under + (patch.astype(np.float32) - under) * alpha + 0.5).astype(np.uint8))


def _draw_nostrils(image: Image, identity: Identity, scene: Scene, pixels: geometry.Shapes) -> None:
    dark = canvas.tone(identity.skin_colour, 0.42)
    for point in pixels["nostrils"]:
        _ellipse(image, point, (3.0, 1.5), 0.0, dark, scene)


def _draw_eye(
    image: Image, identity: Identity, scene: Scene, pixels: geometry.Shapes, tag: str
) -> None:
    upper = canvas.smooth(pixels[f"lid_up{tag}"], density=3)
    lower = canvas.smooth(pixels[f"lid_low{tag}"], density=3)
    skin, scale = identity.skin_colour, scene.scale
    loop = np.concatenate([upper, lower[::-1]])
    rows, columns = canvas.window(loop, 3.0, scene.size)
    origin = np.array([columns.start, rows.start])
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    canvas.fill(mask, loop - origin, 255)
    patch = np.full((*mask.shape, 3), (238, 234, 230), np.uint8)
    iris = pixels[f"iris{tag}"][0] - origin
    canvas.disc(patch, iris, 6.3 * scale, canvas.tone(identity.eye_colour, 0.55))
    canvas.disc(patch, iris, 5.5 * scale, identity.eye_colour)
    canvas.disc(patch, iris, 2.6 * scale, (14, 12, 12))
    canvas.disc(patch, canvas.offset(iris, 1.8 * scale, -2.0 * scale), 1.3 * scale, (250, 250, 250))
    shadow = canvas.offset(upper - origin, 0.0, 1.2 * scale)
    canvas.line(patch, shadow, (150, 142, 140), scene.stroke(1.5))
    under = image[rows, columns]
    alpha = mask[:, :, None].astype(np.float32) / 255.0
    np.copyto(under, (under + (patch.astype(np.float32) - under) * alpha + 0.5).astype(np.uint8))
    crease = canvas.smooth(pixels[f"crease{tag}"][1:-1], density=3)
    canvas.line(image, crease, canvas.tone(skin, 0.68), scene.stroke(1))
    canvas.line(image, lower, canvas.tone(skin, 0.6), scene.stroke(0.75))
    lash = canvas.mix(canvas.tone(skin, 0.25), (20, 14, 14), 0.6)
    canvas.line(image, upper, lash, scene.stroke(1.75))


def _draw_brow(image: Image, identity: Identity, pixels: geometry.Shapes, tag: str) -> None:
    import cv2

    points = pixels[f"brow{tag}"]
    rows, columns = canvas.window(points, 5.0, image.shape[0])
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    origin = np.array([columns.start, rows.start])
    above, below = canvas.smooth(points[:5]), canvas.smooth(points[5:])
    canvas.fill(mask, np.concatenate([above, below]) - origin, 225)
    mask = cv2.GaussianBlur(mask, (5, 5), 0)
    canvas.blend(image[rows, columns], mask, _brow_colour(identity))


def _brow_colour(identity: Identity) -> canvas.Colour:
    """Brows follow the hair but are always darker than the skin, as in a photograph."""
    colour = canvas.mix(canvas.tone(identity.hair_colour, 0.72), (40, 30, 26), 0.25)
    limit = 0.55 * sum(identity.skin_colour)
    return canvas.tone(colour, min(1.0, limit / sum(colour)))


def _draw_glasses(image: Image, identity: Identity, scene: Scene, pixels: geometry.Shapes) -> None:
    rim = canvas.mix((70.0, 62.0, 60.0), identity.skin_colour, 0.25)
    inner = []
    for tag in "LR":
        lids = pixels[f"lid_low{tag}"]
        centre = 0.5 * (lids[0] + lids[-1])
        reach = 1.4 * 0.5 * np.linalg.norm(lids[-1] - lids[0])
        around = np.linspace(0.0, 2.0 * np.pi, 29)
        shape = np.column_stack([np.cos(around), 0.86 * np.sin(around)])
        shape = np.sign(shape) * np.abs(shape) ** 0.7 * reach
        canvas.line(
            image, canvas.offset(centre + shape, 0.0, 5.0 * scene.scale), rim, scene.stroke(1)
        )
        inner.append(lids[0])
    canvas.line(image, canvas.offset(np.array(inner), 0.0, 2.0 * scene.scale), rim, scene.stroke(1))
