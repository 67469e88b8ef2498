"""MediaPipe's bundled models on a real face: places, sizes, silence, no memory."""

import os
import subprocess
import sys
from itertools import pairwise

import cv2
import numpy as np
import pytest

from expressway.core.errors import SystemicError
from expressway.faces import align, landmarks
from expressway.faces.detectors import DetectorConfig, open_detector
from expressway.faces.detectors.base import overlap
from expressway.faces.detectors.graphs import quiet
from expressway.faces.detectors.mediapipe import starts

# Read off the picture by eye: pupils, nose tip, corners of the mouth.
TRUE_POINTS = np.array([[204, 101], [246, 103], [226, 126], [204, 140], [244, 141]])
EYE_DISTANCE = 42.0


def test_astronaut(mediapipe_detector, astronaut):
    (face,) = mediapipe_detector.detect(astronaut)
    assert face.score > 0.8
    assert overlap(face.box, np.array([175, 75, 275, 180])) > 0.7
    # BlazeFace knows the centre of the lips, not the corners that a smile pulls up: a fifth of
    # the eye distance.
    assert np.abs(face.points - TRUE_POINTS).max() < 0.25 * EYE_DISTANCE


def test_left_is_left_in_the_image(mediapipe_detector, astronaut):
    for image in (astronaut, np.ascontiguousarray(astronaut[:, ::-1])):
        (face,) = mediapipe_detector.detect(image)
        assert face.points[0, 0] < face.points[1, 0]
        assert face.points[3, 0] < face.points[4, 0]


def test_mesh_is_in_place_and_mirrors_with_the_image(mediapipe_detector, astronaut):
    mesh = mediapipe_detector.landmarks(astronaut)
    assert mesh.shape == (478, 3)
    points = landmarks.to_68(mesh, "mesh478")
    # A tenth of the eye distance is what the marks by eye are good for.
    assert np.abs(landmarks.to_5(points) - TRUE_POINTS).max() < 0.1 * EYE_DISTANCE
    turned = mediapipe_detector.landmarks(np.ascontiguousarray(astronaut[:, ::-1]))
    back = landmarks.mirrored(landmarks.to_68(turned, "mesh478"), astronaut.shape[1])
    # A table with two points swapped would be off by an eye's width, 0.4 or more.
    assert np.linalg.norm(back - points, axis=-1).max() < 0.1 * EYE_DISTANCE


@pytest.mark.parametrize("pads", [((0, 0), (300, 0)), ((200, 50), (0, 0))])
def test_the_mesh_is_in_place_in_wide_and_high_images(mediapipe_detector, astronaut, pads):
    image = np.pad(astronaut, (*pads, (0, 0)), constant_values=90)
    shift = np.array([pads[1][0], pads[0][0]], np.float32)
    points = TRUE_POINTS.astype(np.float32)
    moved = mediapipe_detector.landmarks(image, points + shift)
    still = mediapipe_detector.landmarks(astronaut, points)
    # The same pixels are looked at: what differs is arithmetic.
    np.testing.assert_allclose(moved[:, :2], still[:, :2] + shift, atol=0.05)
    np.testing.assert_allclose(moved[:, 2], still[:, 2], atol=0.05)


def test_the_mesh_equals_that_of_mediapipes_own_class(mediapipe_detector, astronaut):
    from mediapipe.python.solutions.face_mesh import FaceMesh

    image = np.ascontiguousarray(astronaut[:300])
    own = FaceMesh(static_image_mode=True, refine_landmarks=True)
    theirs = own.process(image).multi_face_landmarks[0].landmark
    expected = np.array([(p.x * 512, p.y * 300, p.z * 512) for p in theirs])
    found = mediapipe_detector.landmarks(image)
    # They take the region from the detection's box, we from its points: both see the face a
    # little differently, most of all along the jaw.
    off = np.abs(found - expected) / EYE_DISTANCE
    assert off[:, :2].mean() < 0.03
    assert off[:, :2].max() < 0.1
    assert off[:, 2].mean() < 0.1


def test_a_rotated_face_has_its_landmarks(mediapipe_detector, astronaut):
    """The region that the mesh looks at turns with the eyes."""
    turn = cv2.getRotationMatrix2D((224, 130), 30, 1.0)
    image = cv2.warpAffine(astronaut, turn, (512, 512))
    (face,) = mediapipe_detector.detect(image)
    points = landmarks.to_68(mediapipe_detector.landmarks(image, face.points), "mesh478")
    expected = align.apply(turn.astype(np.float32), TRUE_POINTS.astype(np.float32))
    assert np.abs(landmarks.to_5(points) - expected).max() < 0.15 * EYE_DISTANCE


@pytest.fixture(scope="module")
def distant(astronaut):
    """A face of 24 px in a frame of 1280 x 720."""
    frame = np.full((720, 1280, 3), 90, np.uint8)
    frame[100:228, 300:428] = cv2.resize(astronaut, (128, 128), interpolation=cv2.INTER_AREA)
    return frame


def test_small_faces_are_found_and_get_a_mesh(mediapipe_detector, distant):
    (face,) = mediapipe_detector.detect(distant)
    truth = TRUE_POINTS / 4 + [300, 100]
    assert np.abs(face.points - truth).max() < 0.3 * EYE_DISTANCE / 4
    transform = align.similarity(face.points, align.template(224))
    crop = align.crop(distant, transform, 224)
    mesh = mediapipe_detector.landmarks(crop, align.apply(transform, face.points))
    found = landmarks.to_5(landmarks.to_68(mesh, "mesh478"))
    expected = align.apply(transform, truth.astype(np.float32))
    assert np.abs(found - expected).max() < 0.15 * 0.315 * 224


def test_short_range_alone_does_not_see_small_faces(distant, astronaut):
    short = open_detector(DetectorConfig(mediapipe={"range": "short"}))
    assert short.detect(distant) == []
    assert len(short.detect(astronaut)) == 1


def test_full_range_alone_sees_the_near_face_too(astronaut, mediapipe_detector):
    full = open_detector(DetectorConfig(mediapipe={"range": "full"}))
    (face,) = full.detect(astronaut)
    (short,) = mediapipe_detector.detect(astronaut)
    assert overlap(face.box, short.box) > 0.7


def test_tiles_see_a_small_face_beside_a_large_one(astronaut, mediapipe_detector):
    frame = np.full((720, 1280, 3), 90, np.uint8)
    frame[:, :720] = cv2.resize(astronaut, (720, 720))
    frame[300:500, 1000:1200] = cv2.resize(astronaut, (200, 200), interpolation=cv2.INTER_AREA)
    tiles = open_detector(DetectorConfig(mediapipe={"range": "tiles"}))
    small = np.array([1000, 300]) + TRUE_POINTS[2] * 200 / 512
    noses = [face.points[2] for face in tiles.detect(frame)]
    assert min(np.linalg.norm(nose - small) for nose in noses) < 10
    large = TRUE_POINTS[2] * 720 / 512
    assert min(np.linalg.norm(nose - large) for nose in noses) < 20


def test_no_face(mediapipe_detector, cat):
    assert mediapipe_detector.detect(cat) == []
    assert mediapipe_detector.landmarks(cat) is None


@pytest.mark.parametrize("choice", ["short", "full"])
def test_the_minimum_score_counts(astronaut, choice):
    """The face scores 0.92; MediaPipe's own class drops the number that it is given."""
    strict = open_detector(DetectorConfig(minimum_score=0.99, mediapipe={"range": choice}))
    assert strict.detect(astronaut) == []


def test_a_lower_minimum_score_finds_more(astronaut):
    blurred = cv2.GaussianBlur(astronaut, (0, 0), 7)
    usual = open_detector(DetectorConfig(mediapipe={"range": "short"}))
    lax = open_detector(DetectorConfig(minimum_score=0.3, mediapipe={"range": "short"}))
    assert usual.detect(blurred) == []
    assert lax.detect(blurred) != []


def test_calls_leave_no_trace(mediapipe_detector, astronaut, cat):
    """MediaPipe's own video mode would give another mesh after other images."""
    first = mediapipe_detector.landmarks(astronaut)
    mediapipe_detector.landmarks(np.ascontiguousarray(astronaut[:, ::-1]))
    mediapipe_detector.detect(cat)
    assert mediapipe_detector.landmarks(astronaut).tobytes() == first.tobytes()


def test_nothing_is_written_to_stderr():
    script = (
        "import numpy as np\n"
        "from skimage import data\n"
        "from expressway.faces.detectors import DetectorConfig, open_detector\n"
        "detector = open_detector(DetectorConfig())\n"
        "image = data.astronaut()\n"
        "assert detector.landmarks(image, detector.detect(image)[0].points) is not None\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout == ""


def test_what_was_held_back_is_shown_on_failure(capfd):
    def fail() -> None:
        with quiet():
            os.write(2, b"the reason\n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert "the reason" in capfd.readouterr().err


def test_another_version_is_refused(monkeypatch):
    from importlib import metadata

    monkeypatch.setattr(metadata, "version", lambda name: "0.10.21")
    with pytest.raises(SystemicError, match=r"0\.10\.21.*expected 0\.10\.14"):
        open_detector(DetectorConfig())


@pytest.mark.parametrize(("length", "side"), [(1280, 720), (720, 720), (640, 180), (721, 720)])
def test_tiles_cover_everything_and_overlap_by_half(length, side):
    begins = starts(length, side)
    assert begins[0] == 0
    assert begins[-1] + side == length
    assert all(b - a <= (side + 1) // 2 for a, b in pairwise(begins))
