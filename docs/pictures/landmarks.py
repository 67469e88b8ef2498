"""Draw the pictures of ``docs/landmarks.md``: ``python docs/pictures/landmarks.py``.

The face is NASA's portrait of Eileen Collins (public domain) from scikit-image's wheel.
"""

from pathlib import Path

import numpy as np

from expressway.faces import align, landmarks
from expressway.faces.detectors import DetectorConfig, open_detector

SIZE = 860
OUTLINES = [
    (range(17), False),
    (range(17, 22), False),
    (range(22, 27), False),
    (range(27, 31), False),
    (range(31, 36), False),
    (range(36, 42), True),
    (range(42, 48), True),
    (range(48, 60), True),
    (range(60, 68), True),
]


def labels(layout: str) -> list[str]:
    """Return what each of the 68 points is called in a layout."""
    return [str(a) if a == b else f"{a},{b}" for a, b in landmarks.TABLES[layout].tolist()]


def draw(crop: np.ndarray, points: np.ndarray, names: list[str], path: Path) -> None:
    """Write the crop with outlines and named points as a PNG."""
    import cv2
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(6.8, 6.8), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    grey = cv2.GaussianBlur(crop.mean(-1), (0, 0), 3) * 0.35 + 160
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255)
    for indices, closed in OUTLINES:
        chain = [*indices, indices[0]] if closed else list(indices)
        axes.plot(*points[chain].T, color="#c0392b", linewidth=0.7)
    axes.plot(*points.T, "o", color="#c0392b", markersize=2.5)
    for (x, y), name in zip(points, names, strict=True):
        axes.text(x + 3, y - 4, name, fontsize=5.5 if "," in name else 7, color="#12305c")
    axes.set(xlim=(90, SIZE - 90), ylim=(SIZE - 10, 170))
    axes.axis("off")
    figure.savefig(path, pil_kwargs={"optimize": True})
    plt.close(figure)
    quantise(path)


def quantise(path: Path) -> None:
    """Store a picture with 32 colours, a third of the bytes."""
    from PIL import Image

    with Image.open(path) as image:
        small = image.convert("RGB").quantize(32, Image.Quantize.MAXCOVERAGE)
    small.save(path, optimize=True)


def main() -> None:
    """Draw all three."""
    import matplotlib as mpl
    from skimage import data

    mpl.use("Agg")
    detector = open_detector(DetectorConfig())
    portrait = np.ascontiguousarray(data.astronaut())
    dense = detector.landmarks(portrait)
    if dense is None:
        raise SystemExit("no face in the portrait")
    points = landmarks.to_68(dense, detector.layout)
    transform = align.similarity(landmarks.to_5(points), align.template(SIZE, 0.14))
    crop = align.crop(portrait, transform, SIZE)
    folder = Path(__file__).parent
    placed = align.apply(transform, points)
    draw(crop, placed, [str(i) for i in range(68)], folder / "landmarks-68.png")
    draw(crop, placed, labels("points106"), folder / "landmarks-106.png")
    draw(crop, placed, labels("mesh478"), folder / "landmarks-478.png")


if __name__ == "__main__":
    main()
