"""landmarks: on crops that the faces stage really made."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from expressway.core.errors import RowFailure
from expressway.core.manifest import Clip
from expressway.core.stage import Row, Runtime
from expressway.core.store import ShardReader, ShardWriter
from expressway.faces import align, landmarks
from expressway.stages.faces import STAGE as FACES
from expressway.stages.faces import FacesConfig
from expressway.stages.landmarks import STAGE, LandmarksConfig

# Read off NASA's portrait by eye: eyes, nose tip, corners of the mouth.
TRUE_POINTS = np.array([[204, 101], [246, 103], [226, 126], [204, 140], [244, 141]], np.float32)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    from skimage import data

    return np.ascontiguousarray(data.astronaut())


def jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def faces_of(images: list[np.ndarray], **options) -> Row:
    frames = {
        "images": [jpeg(image) for image in images],
        "source_index": np.arange(len(images), dtype=np.int32),
        "time": np.arange(len(images)) / 25,
    }
    row = Row(Clip("clip", "clip.mp4"), Path("clip"), {"frames": frames})
    outcome = FACES.open(FacesConfig(**options), Runtime())([row])[0]
    return Row(row.clip, row.source, {"faces": outcome})


@pytest.fixture(scope="module")
def place():
    return STAGE.open(LandmarksConfig(), Runtime())


@pytest.mark.parametrize(
    "options", [{}, {"align": "box", "margin": 0.3}, {"align": "as_is", "size": 512}]
)
def test_points_lie_on_the_face_however_it_was_cut(place, portrait, options):
    faces = faces_of([portrait], **options)
    row = place([faces])[0]
    assert row["status"] == "ok"
    assert row["points"].shape == (1, 68, 2)
    assert row["mesh"].shape == (1, 478, 3)
    transform = faces.inputs["faces"]["transform"][0]
    expected = align.apply(transform, TRUE_POINTS)
    scale = float(np.linalg.norm(expected[1] - expected[0]))
    # A tenth of the eye distance: what the marks by eye are good for.
    assert np.abs(landmarks.to_5(row["points"][0]) - expected).max() < 0.1 * scale


def test_the_chin_is_inside_the_crop(place, portrait):
    """ArcFace's own crop, without a margin, cuts it off."""
    points = place([faces_of([portrait])])[0]["points"][0]
    assert points.max() < 224
    narrow = place([faces_of([portrait], margin=0.0)])[0]["points"][0]
    assert narrow[8, 1] > 224


def test_frames_without_the_face_are_interpolated_and_not_valid(place, portrait):
    blank = np.full_like(portrait, 120)
    shift = [np.roll(portrait, 3 * i, axis=1) for i in range(6)]
    row = place([faces_of([*shift[:3], blank, *shift[4:]])])[0]
    assert row["valid"].tolist() == [True] * 3 + [False] + [True] * 2
    middle = (row["points"][2] + row["points"][4]) / 2
    np.testing.assert_allclose(row["points"][3], middle, atol=1e-3)
    assert row["status"] == "ok"


def test_crops_without_a_face_fail_with_numbers(place):
    blank = np.full((224, 224, 3), 120, np.uint8)
    with pytest.raises(RowFailure, match="no landmarks in 2 crops") as caught:
        place([faces_of([blank] * 2, align="as_is")])
    assert caught.value.status == "no_face"


def test_few_landmarks_are_degraded(place, portrait):
    blank = np.full_like(portrait, 120)
    row = place([faces_of([portrait, blank, blank], align="as_is", size=512)])[0]
    assert row["status"] == "degraded"
    assert "1 of 3 frames" in row["error_message"]
    np.testing.assert_array_equal(row["points"][2], row["points"][0])


def test_a_clip_does_not_depend_on_the_clips_before_it(place, portrait):
    clip = faces_of([portrait, np.roll(portrait, 4, axis=0)])
    first = place([clip])[0]
    place([faces_of([np.ascontiguousarray(portrait[:, ::-1])])])
    again = place([clip])[0]
    assert first["mesh"].tobytes() == again["mesh"].tobytes()


def test_fields_fit_the_schema_and_an_absent_mesh_has_no_frames(place, portrait, tmp_path):
    row = place([faces_of([portrait])])[0]
    schema = STAGE.schema(LandmarksConfig())
    assert set(row) - {"status"} == set(schema.names)
    path = tmp_path / "landmarks.parquet"
    with ShardWriter(path, schema, {}) as writer:
        writer.write({**row, "clip_id": "a"})
        writer.write({**row, "clip_id": "b", "mesh": np.zeros((0, 478, 3))})
    reader = ShardReader(path)
    assert reader.by_id("a")["mesh"].shape == (1, 478, 3)
    assert reader.by_id("b")["mesh"].shape == (0, 478, 3)
    assert reader.by_id("b")["points"].shape == (1, 68, 2)
