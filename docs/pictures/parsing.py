"""Draw the pictures of ``docs/parsing.md``: ``python docs/pictures/parsing.py``.

The faces are NASA's portrait of Eileen Collins (public domain, from scikit-image's wheel) and
frames of the demo world's renderer.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from expressway.data.demo import render, world
from expressway.faces import align, overlays
from expressway.faces.detectors import DetectorConfig, open_detector
from expressway.faces.landmarks import to_68
from expressway.faces.parsers.regions import draw, mesh_contours
from expressway.faces.parsing import CLASSES

SIZE = 224
CLIPS = (3,)


def faces() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the aligned crop and the mesh of each face."""
    from skimage import data

    detector = open_detector(DetectorConfig())
    rendered = [world.performance(2026, number) for number in CLIPS]
    images = [data.astronaut(), *(render.frame(each, render.peak(each)) for each in rendered)]
    for image in images:
        image = np.ascontiguousarray(image)
        face = detector.detect(image)[0]
        transform = align.similarity(face.points, align.template(SIZE))
        crop = align.crop(image, transform, SIZE)
        mesh = detector.landmarks(crop, align.apply(transform, face.points))
        assert mesh is not None
        yield crop, mesh


def row(crop: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """Return crop, label map, and FineCLIPER's two streams side by side."""
    mask = draw(mesh_contours(mesh), (SIZE, SIZE))
    points = to_68(mesh, "mesh478")
    shown = [crop, overlays.colours(mask), overlays.parsing_image(crop, mask)]
    return np.concatenate([*shown, overlays.landmark_image(crop, points)], 1)


def legend() -> np.ndarray:
    """Return the palette with the classes' names, as wide as a row."""
    import cv2

    width = 4 * SIZE
    picture = np.full((56, width, 3), 255, np.uint8)
    for index, name in enumerate(CLASSES):
        x, y = 6 + index % 6 * (width // 6), 6 + index // 6 * 26
        colour = overlays.PALETTE[index].tolist()
        cv2.rectangle(picture, (x, y), (x + 22, y + 16), colour, -1)
        cv2.rectangle(picture, (x, y), (x + 22, y + 16), (90, 90, 90), 1)
        where = (x + 28, y + 13)
        text = f"{index} {name}"
        cv2.putText(picture, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0,) * 3, 1, cv2.LINE_AA)
    return picture


def main() -> None:
    """Draw the picture."""
    from PIL import Image

    picture = np.concatenate([*(row(crop, mesh) for crop, mesh in faces()), legend()])
    # All colours are kept: a reader may want to compare them with the palette.
    Image.fromarray(picture).save(Path(__file__).parent / "parsing-streams.png", optimize=True)


if __name__ == "__main__":
    main()
