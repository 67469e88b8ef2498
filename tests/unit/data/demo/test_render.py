"""Clips and stills as files: deterministic frames, real H.264, truth per frame, real detectors."""

from pathlib import Path

import numpy as np
import pytest

from expressway.core import store
from expressway.core.manifest import Clip
from expressway.data import demo
from expressway.data.demo import render, world
from expressway.data.demo.face import Moment, draw
from expressway.data.demo.identity import make_identity
from expressway.data.demo.scene import make_scene
from expressway.data.demo.units import INDEX, UNIT_NAMES, UNITS

SEED = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "demo"
    demo.create(out, clips=2, seed=SEED, stills=2)
    return out


def decode(path: Path) -> list[np.ndarray]:
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 25
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]


def test_a_clip_is_the_drawn_frames(folder: Path) -> None:
    shown = world.performance(SEED, 0)
    decoded = decode(folder / "clips" / "demo-00000.mp4")
    assert len(decoded) == len(shown.script)
    drawn = render.frame(shown, 7)
    # H.264 halves colour resolution; at this rate the mean error stays within two levels.
    assert np.abs(decoded[7].astype(int) - drawn).mean() < 2.5


def test_truth_has_one_row_of_units_per_frame(folder: Path) -> None:
    path = folder / "clips" / "00000.truth.parquet"
    table = store.read_table(path)
    assert table.column("clip_id").to_pylist() == ["demo-00000", "demo-00001"]
    intensities = np.array(table.column("intensities").to_pylist()[1])
    np.testing.assert_allclose(intensities, world.performance(SEED, 1).script.truth, atol=1e-6)
    assert store.read_footer(path)["units"] == list(UNIT_NAMES)


def test_rendering_again_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    row = Clip(id="demo-00001", path="elsewhere/one.mp4")
    render.render_clips([row], SEED, tmp_path, tmp_path / "0.truth.parquet")
    again = (tmp_path / "elsewhere" / "one.mp4").read_bytes()
    assert again == (folder / "clips" / "demo-00001.mp4").read_bytes()


def test_stills_are_images_beside_the_data_set(folder: Path) -> None:
    import cv2

    beside = folder.with_name("demo_stills")
    image = cv2.imread(str(beside / "images" / "still-00001.jpg"))
    assert image.shape == (224, 224, 3)
    assert (beside / "manifest.csv").read_text().count("\n") == 3


def mesh() -> object:
    import mediapipe

    return mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True, refine_landmarks=True, max_num_faces=1
    )


def points_of(found: object) -> np.ndarray:
    landmarks = found.multi_face_landmarks[0].landmark  # type: ignore[attr-defined]
    return np.array([(point.x, point.y) for point in landmarks])


# What each unit moves, from mesh points that are turned upright and divided by the eye distance.
MEASURES = {
    1: lambda p: -p[[107, 336, 55, 285], 1].mean(),
    2: lambda p: -p[[105, 334, 52, 282, 63, 293], 1].mean(),
    4: lambda p: p[[107, 336], 1].mean(),
    5: lambda p: (p[[145, 374], 1] - p[[159, 386], 1]).mean(),
    12: lambda p: -p[[61, 291], 1].mean(),
    15: lambda p: p[[61, 291], 1].mean() - p[0, 1],
    20: lambda p: p[291, 0] - p[61, 0],
    25: lambda p: p[14, 1] - p[13, 1],
    26: lambda p: p[152, 1],
    43: lambda p: -(p[[145, 374], 1] - p[[159, 386], 1]).mean(),
}


def upright(points: np.ndarray) -> np.ndarray:
    left, right = points[[33, 133]].mean(axis=0), points[[362, 263]].mean(axis=0)
    across = (right - left) / np.linalg.norm(right - left) ** 2
    down = np.array([-across[1], across[0]])
    centred = points - 0.5 * (left + right)
    return np.stack([centred @ across, centred @ down], axis=1)


def test_units_move_the_mesh_that_a_real_detector_fits() -> None:
    """At half intensity the shift is at least 3 standard deviations over these identities."""
    shifts: dict[int, list[float]] = {unit: [] for unit in MEASURES}
    with mesh() as detector:  # type: ignore[attr-defined]
        for number in range(8):
            rng = np.random.default_rng([1, number])
            identity = make_identity(rng)
            scene = make_scene(rng, identity)

            def seen(unit: int | None, identity=identity, scene=scene) -> np.ndarray:
                sides = np.zeros((2, len(UNITS)))
                if unit is not None:
                    sides[:, INDEX[unit]] = 0.5
                image, _ = draw(identity, scene, Moment(sides, np.zeros(5), np.zeros(2)))
                return upright(points_of(detector.process(image)))

            rest = seen(None)
            for unit, measure in MEASURES.items():
                shifts[unit].append(float(measure(seen(unit)) - measure(rest)))
    for unit, shift in shifts.items():
        assert np.mean(shift) > 3.0 * np.std(shift), (unit, shift)


def test_real_detectors_find_the_face_in_the_frames_of_clips() -> None:
    import mediapipe

    frames, found = 0, [0, 0]
    detectors = [
        mediapipe.solutions.face_detection.FaceDetection(model_selection=model) for model in (0, 1)
    ]
    for number in range(16):
        shown = world.performance(SEED, number)
        for frame in range(0, len(shown.script), 6):
            image = render.frame(shown, frame)
            frames += 1
            for model, detector in enumerate(detectors):
                found[model] += len(detector.process(image).detections or []) == 1
    # 99 % over all frames is the aim; of about a hundred frames one may fail.
    assert min(found) >= frames - 1


def test_five_points_are_where_the_detector_sees_them() -> None:
    rng = np.random.default_rng(3)
    identity = make_identity(rng)
    scene = make_scene(rng, identity)
    still = Moment(np.zeros((2, len(UNITS))), np.array([6.0, 2.0, 8.0, 0.0, 0.0]), np.zeros(2))
    image, points = draw(identity, scene, still)
    with mesh() as detector:  # type: ignore[attr-defined]
        seen = points_of(detector.process(image)) * 224
    expected = [seen[[33, 133]].mean(axis=0), seen[[362, 263]].mean(axis=0), seen[1]]
    expected += [seen[61], seen[291]]
    # A face is 110 pixels wide here; detector and drawing agree within a few of them.
    assert np.abs(points - np.array(expected)).max() < 6.0
