"""Rows of `faces`, `landmarks` and `parsing` of small drawn faces, whose mouth tells the class.

Crops are real JPEGs, label maps are drawn by the real parser from the points.
"""

from typing import Any

import numpy as np

from expressway.faces.landmarks import to_5
from expressway.faces.parsers.regions import draw, point_contours
from expressway.faces.parsing import encode_mask
from expressway.media.frames import encode_jpeg
from expressway.stages import faces, landmarks, parsing

SIZE = 32
MESH = np.zeros((0, landmarks.MESH_POINTS, 3), np.float32)
LOST = {"status": "no_face", "error_type": "RowFailure", "error_message": "no face"}
SCHEMAS = {
    "faces": faces.schema(faces.FacesConfig(size=SIZE)),
    "landmarks": landmarks.schema(landmarks.LandmarksConfig()),
    "parsing": parsing.schema(parsing.ParsingConfig(faces="default")),
}


def arc(count: int, middle: tuple[float, float], radii: tuple[float, float], turn: float) -> Any:
    """Points on an ellipse from the left over `turn` radians (below the middle if positive)."""
    angles = np.pi - np.linspace(0, turn, count, endpoint=abs(turn) < 6)
    return np.stack([np.cos(angles) * radii[0], np.sin(angles) * radii[1]], -1) + middle


def face(smile: float) -> np.ndarray:
    """68 points in a crop of 32 px; ``smile`` -1 to 1 moves the corners of the mouth."""
    brows = [arc(5, (x, 10), (3.5, 1.5), -np.pi) for x in (10, 22)]
    bridge = np.stack([np.full(4, 16), np.linspace(13, 18, 4)], -1)
    nose = np.concatenate([bridge, arc(5, (16, 18.5), (2.5, 1), np.pi)])
    eyes = [arc(6, (x, 13), (2.5, 1.2), -2 * np.pi) for x in (10, 22)]
    outer, inner = (arc(n, (16, 24), r, -2 * np.pi) for n, r in ((12, (6, 2.5)), (8, (5, 1))))
    points = np.concatenate([arc(17, (16, 14), (13, 16), np.pi), *brows, nose, *eyes, outer, inner])
    points[48:, 1] -= smile * (np.abs(points[48:, 0] - 16) - 3)
    return points.astype(np.float32)


def rows(
    frames: dict[str, Any], smile: float, random: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """Stage -> row of one clip; ``frames`` has source_index, time and valid."""
    count = len(frames["source_index"])
    known = {name: frames[name] for name in ("source_index", "time", "valid")}
    points = face(smile) + random.normal(0, 0.3, (count, 68, 2)).astype(np.float32)
    masks = [draw(point_contours(each), (SIZE, SIZE)) for each in points]
    tones = random.integers(60, 200, (11, 3))
    crops = [np.clip(tones[mask] + random.normal(0, 6, (SIZE, SIZE, 3)), 0, 255) for mask in masks]
    return {
        "faces": {
            "status": "ok",
            **known,
            "box": np.tile(np.float32([0, 0, SIZE, SIZE]), (count, 1)),
            "score": np.ones(count, np.float32),
            "points": to_5(points),
            "transform": np.tile(np.eye(2, 3, dtype=np.float32), (count, 1, 1)),
            "track": 0,
            "tracks": 1,
            "faces": np.ones(count, np.int16),
            "crops": [encode_jpeg(crop.astype(np.uint8), faces.QUALITY) for crop in crops],
        },
        "landmarks": {"status": "ok", **known, "points": points, "mesh": MESH},
        "parsing": {
            "status": "ok",
            **known,
            "missing_classes": ["hair"],
            "masks": [encode_mask(mask) for mask in masks],
        },
    }
