"""faces: every odd clip of the module's docstring, on a real face and the real detector."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from expressway.core.columns import blobs, frame_list
from expressway.core.errors import RowFailure
from expressway.core.manifest import Clip
from expressway.core.rows import Job, call
from expressway.core.runner import run
from expressway.core.stage import Row, Runtime, Source
from expressway.core.store import ShardReader, ShardWriter
from expressway.faces import align
from expressway.faces.detectors.base import overlap
from expressway.stages import faces
from expressway.stages.faces import STAGE, FacesConfig

FPS = 25.0


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    """NASA's portrait of Eileen Collins, cut to the head: 200 x 200, the face about 95 px."""
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[30:230, 125:325])


@pytest.fixture(scope="module")
def nobody() -> np.ndarray:
    from skimage import data

    return cv2.resize(data.chelsea(), (480, 360))


def scene(*heads: tuple[np.ndarray, int, int, int]) -> np.ndarray:
    """A 360 x 480 frame with heads (picture, x, y, side)."""
    frame = np.full((360, 480, 3), 100, np.uint8)
    for picture, x, y, side in heads:
        shrink = cv2.INTER_AREA if side < 200 else cv2.INTER_LINEAR
        head = cv2.resize(picture, (side, side), interpolation=shrink)
        part = frame[max(y, 0) : y + side, max(x, 0) : x + side]
        part[:] = head[max(-y, 0) :, max(-x, 0) :][: part.shape[0], : part.shape[1]]
    return frame


def jpeg(image: np.ndarray, suffix: str = ".jpg") -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix == ".jpg" else []
    return cv2.imencode(suffix, image[..., ::-1], options)[1].tobytes()


def clip_of(images: list[np.ndarray], name: str = "clip") -> Row:
    frames = {
        "images": [jpeg(image) for image in images],
        "source_index": np.arange(len(images), dtype=np.int32) * 2,
        "time": np.arange(len(images)) / FPS,
    }
    return Row(Clip(name, f"{name}.mp4"), Path(name), {"frames": frames})


_OPENED: dict[FacesConfig, object] = {}


def compute(images: list[np.ndarray], **options) -> dict:
    config = FacesConfig(**options)
    key = config.model_dump_json()
    if key not in _OPENED:
        _OPENED[key] = STAGE.open(config, Runtime())
    return _OPENED[key]([clip_of(images)])[0]


def decoded(outcome: dict, index: int) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(outcome["crops"][index], np.uint8), cv2.IMREAD_COLOR_RGB)


def test_one_face_that_moves(astronaut):
    images = [scene((astronaut, 40 + 6 * i, 60 + 2 * i, 200)) for i in range(10)]
    row = compute(images)
    assert row["status"] == "ok"
    assert row["valid"].all()
    assert row["track"] == 0
    assert row["tracks"] == 1
    assert row["faces"].tolist() == [1] * 10
    assert row["source_index"].tolist() == list(range(0, 20, 2))
    np.testing.assert_allclose(np.diff(row["box"][:, 0]).mean(), 6, atol=1)
    assert {decoded(row, i).shape for i in range(10)} == {(224, 224, 3)}
    assert all(crop[:2] == b"\xff\xd8" for crop in row["crops"])


def test_the_transform_leads_to_the_crop(astronaut):
    """Cutting the source with the stored transform gives the stored crop."""
    images = [scene((astronaut, 100, 80, 220))] * 3
    row = compute(images)
    source = cv2.imdecode(np.frombuffer(jpeg(images[0]), np.uint8), cv2.IMREAD_COLOR_RGB)
    again = align.crop(source, row["transform"][0], 224).astype(int)
    # JPEG at quality 95 moves pixels by some grey values.
    assert np.abs(again - decoded(row, 0)).mean() < 2
    points = align.apply(row["transform"][0], row["points"][0])
    # The face fits the template up to its own proportions.
    assert np.abs(points - align.template(224)).max() < 0.1 * 224


def test_no_face_fails_with_numbers(nobody):
    with pytest.raises(RowFailure, match=r"0 of 4 frames.*mediapipe, minimum_score 0\.5") as caught:
        compute([nobody] * 4)
    assert caught.value.status == "no_face"


def test_a_face_for_too_short_is_no_face(astronaut, nobody):
    images = [scene((astronaut, 100, 80, 200))] * 2 + [nobody] * 8
    with pytest.raises(RowFailure, match=r"2 of 10 frames.*\(3 needed\)"):
        compute(images)
    assert compute(images, minimum_length=2)["valid"].sum() == 2


def test_a_clip_shorter_than_the_minimum_length_needs_all_its_frames(astronaut):
    assert compute([scene((astronaut, 100, 80, 200))])["status"] == "ok"


def test_two_faces_longest(astronaut):
    """The small face is there all the time, the large one in some frames."""
    small, large = (astronaut, 10, 20, 130), (astronaut[:, ::-1], 220, 80, 240)
    images = [scene(small, large) if 2 <= i < 8 else scene(small) for i in range(10)]
    chosen = {
        policy: compute(images, policy=policy, mediapipe={"range": "tiles"})
        for policy in ("longest", "largest")
    }
    assert chosen["longest"]["valid"].sum() == 10
    assert chosen["longest"]["box"][5, 0] < 150
    assert chosen["largest"]["valid"].sum() == 6
    assert chosen["largest"]["box"][5, 0] > 200
    for row in chosen.values():
        assert row["tracks"] == 2
        assert row["faces"].tolist() == [1, 1, 2, 2, 2, 2, 2, 2, 1, 1]
    assert chosen["longest"]["track"] == 0
    assert chosen["largest"]["track"] == 1


def test_two_faces_central(astronaut):
    images = [scene((astronaut, 0, 80, 180), (astronaut, 170, 100, 160))] * 3
    row = compute(images, policy="central")
    assert overlap(row["box"][0], np.array([205, 135, 285, 225])) > 0.4


@pytest.fixture(scope="module")
def gap(astronaut, nobody):
    """Seen in frames 0-2 and 5-7, hidden in 3-4."""
    place = [(60 + 4 * i, 60) for i in range(8)]
    return [
        nobody if i in (3, 4) else scene((astronaut, x, y, 200)) for i, (x, y) in enumerate(place)
    ]


def test_gap_hold(gap):
    row = compute(gap, gap="hold")
    assert row["valid"].tolist() == [True] * 3 + [False] * 2 + [True] * 3
    np.testing.assert_array_equal(row["box"][3], row["box"][2])
    np.testing.assert_array_equal(row["box"][4], row["box"][2])
    assert row["score"][3] == 0
    assert row["status"] == "ok"


def test_gap_interpolate(gap):
    row = compute(gap)
    assert row["valid"].tolist() == [True] * 3 + [False] * 2 + [True] * 3
    expected = row["box"][2] + (row["box"][5] - row["box"][2]) * np.array([[1], [2]]) / 3
    np.testing.assert_allclose(row["box"][3:5], expected, atol=1e-2)
    assert len(row["crops"]) == 8


def test_gap_drop(gap):
    row = compute(gap, gap="drop")
    assert row["source_index"].tolist() == [0, 2, 4, 10, 12, 14]
    assert row["valid"].all()
    assert {
        len(row[name]) for name in ("time", "box", "points", "transform", "crops", "faces")
    } == {6}


def test_a_face_that_appears_late(astronaut, nobody):
    row = compute([nobody] * 3 + [scene((astronaut, 100, 80, 200))] * 5)
    assert row["valid"].tolist() == [False] * 3 + [True] * 5
    np.testing.assert_array_equal(row["box"][0], row["box"][3])


def test_mostly_without_the_face_is_degraded(astronaut, nobody):
    images = [scene((astronaut, 100, 80, 200))] * 3 + [nobody] * 7
    row = compute(images)
    assert row["status"] == "degraded"
    assert "3 of 10 frames" in row["error_message"]
    assert compute(images, minimum_valid=0.3)["status"] == "ok"


def test_a_face_that_leaves_the_frame(astronaut):
    images = [scene((astronaut, 150 + 30 * i, 80, 200)) for i in range(11)]
    row = compute(images)
    assert row["valid"][:5].all()
    assert not row["valid"][-1]
    assert row["tracks"] == 1


def test_scene_cut(astronaut):
    """Behind the cut the face is elsewhere: another track, and the longer one is taken."""
    before, after = scene((astronaut, 10, 20, 160)), scene((astronaut, 260, 120, 200))
    row = compute([before] * 4 + [after] * 6)
    assert row["tracks"] == 2
    assert row["track"] == 1
    assert row["valid"].tolist() == [False] * 4 + [True] * 6


def test_small_face(astronaut):
    frame = np.full((720, 1280, 3), 100, np.uint8)
    frame[300:364, 700:764] = cv2.resize(astronaut, (64, 64), interpolation=cv2.INTER_AREA)
    row = compute([frame] * 3)
    assert row["valid"].all()
    assert overlap(row["box"][0], np.array([716, 316, 747, 347])) > 0.4


def test_what_only_the_detector_takes_for_a_face_does_not_pass(astronaut):
    """Letters, folds and clouds: the landmark model has to agree."""
    from expressway.faces.detectors.base import Face

    detector = faces.open_detector(FacesConfig())
    box = np.array([20, 20, 120, 120], np.float32)
    points = align.template(100, 0.0) + 20
    plain = scene()
    tracks = faces.link([[Face(box, 0.9, points)]] * 3, [0.0, 0.04, 0.08])
    pictures = faces.Pictures([jpeg(plain)] * 3)
    assert not faces.is_face(tracks[0], pictures, detector)
    real = scene((astronaut, 100, 80, 200))
    (found,) = detector.detect(real)
    tracks = faces.link([[found]] * 3, [0.0, 0.04, 0.08])
    assert faces.is_face(tracks[0], faces.Pictures([jpeg(real)] * 3), detector)


def test_box(astronaut):
    row = compute([scene((astronaut, 100, 80, 200))] * 3, align="box", margin=0.1, smoothing=0)
    corners = align.apply(row["transform"][0], row["box"][0].reshape(2, 2))
    np.testing.assert_allclose(corners.mean(0), [112, 112], atol=0.1)
    np.testing.assert_allclose((corners[1] - corners[0]).max(), 224 / 1.2, atol=0.1)


def test_smoothing_makes_the_crop_steadier(astronaut):
    rng = np.random.default_rng(0)
    images = [
        np.clip(scene((astronaut, 100, 80, 200)) + rng.normal(0, 25, (360, 480, 3)), 0, 255)
        for _ in range(12)
    ]
    images = [image.astype(np.uint8) for image in images]
    shake = {
        seconds: np.diff(compute(images, smoothing=seconds)["transform"], 2, axis=0)[..., 2].std()
        for seconds in (0.0, 0.04)
    }
    assert shake[0.04] < 0.7 * shake[0.0]


def test_refine_uses_the_mouth_corners_of_the_mesh(astronaut):
    """A smile pulls the corners above the centre of the lips, which BlazeFace does not know."""
    images = [scene((astronaut, 100, 80, 200))] * 3
    coarse, fine = compute(images), compute(images, refine=True)
    # Read off the picture: (204, 140) in the portrait, which is cut at (125, 30).
    corner = np.array([100 + 204 - 125, 80 + 140 - 30])
    assert np.linalg.norm(fine["points"][0, 3] - corner) < 4
    assert np.linalg.norm(coarse["points"][0, 3] - corner) > 4


def test_as_is_keeps_bytes_of_the_right_size_and_resizes_others():
    rng = np.random.default_rng(0)
    fits = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    wide = np.full((50, 100, 3), 200, np.uint8)
    row = compute([fits, wide], align="as_is", size=64)
    assert row["crops"][0] == jpeg(fits)
    crop = decoded(row, 1)
    assert crop.shape == (64, 64, 3)
    assert crop[:14].max() < 30
    assert abs(int(crop[32, 32, 0]) - 200) < 4
    assert row["valid"].all()
    assert not row["points"].any()
    assert (row["track"], row["tracks"]) == (-1, 0)
    assert row["box"][1].tolist() == [0, 0, 100, 50]
    placed = align.apply(row["transform"][1], row["box"][1].reshape(2, 2))
    np.testing.assert_allclose(placed, [[0, 16], [64, 48]], atol=1e-4)


def test_as_is_loads_no_detector_and_depends_on_none(tmp_path):
    missing = {"root": str(tmp_path), "model": "none"}
    config = FacesConfig(align="as_is", detector="insightface", insightface=missing)
    STAGE.open(config, Runtime())
    assert config.weights() == ()
    assert config.identity() == FacesConfig(align="as_is").identity()
    assert config.identity() != FacesConfig(align="as_is", size=112).identity()


@pytest.mark.parametrize("options", [{}, {"align": "as_is"}])
def test_bytes_that_are_no_image_are_unreadable(options):
    row = clip_of([scene()] * 2)
    row.inputs["frames"]["images"][1] = b"no image"
    with pytest.raises(RowFailure, match="frame 1") as caught:
        STAGE.open(FacesConfig(**options), Runtime())([row])
    assert caught.value.status == "unreadable"


def test_long_clips_are_decoded_again_instead_of_kept(astronaut, monkeypatch):
    from expressway.faces import pictures

    images = [scene((astronaut, 40 + 6 * i, 60, 200)) for i in range(4)]
    kept = compute(images)
    monkeypatch.setattr(pictures, "CACHE_BYTES", 0)
    assert compute(images)["crops"] == kept["crops"]


def test_fields_fit_the_schema_and_come_back(astronaut, tmp_path):
    row = compute([scene((astronaut, 100, 80, 200))] * 3)
    schema = STAGE.schema(FacesConfig())
    assert set(row) - {"status"} == set(schema.names)
    path = tmp_path / "faces.parquet"
    with ShardWriter(path, schema, {}, images=True) as writer:
        writer.write({**row, "clip_id": "clip"})
    back = ShardReader(path).row(0)
    assert back["points"].shape == (3, 5, 2)
    assert back["transform"].shape == (3, 2, 3)
    np.testing.assert_array_equal(back["valid"], row["valid"])
    assert back["crops"] == row["crops"]


FRAMES_SCHEMA = [
    frame_list("source_index", "int32"),
    frame_list("time", "float64"),
    blobs("images"),
]


def test_any_order_and_any_number_of_workers_give_the_same_bytes(astronaut, nobody, tmp_path):
    import pyarrow as pa

    clips = {
        "a": [scene((astronaut, 40 + 6 * i, 60, 200)) for i in range(4)],
        "b": [scene((astronaut[:, ::-1], 200, 100, 150))] * 3,
        "c": [nobody] * 3,
        "d": [scene((astronaut, 10, 20, 160))] * 3 + [scene((astronaut, 260, 120, 200))] * 4,
    }

    def computed(names: list[str], cores: int) -> dict:
        folder = tmp_path / f"{''.join(names)}{cores}"
        with ShardWriter(folder / "frames.parquet", pa.schema(FRAMES_SCHEMA), {}, True) as writer:
            for name in names:
                frames = clip_of(clips[name], name).inputs["frames"]
                writer.write({**frames, "clip_id": name, "status": "ok"})
        job = Job(
            STAGE,
            FacesConfig(),
            [Clip(name, f"{name}.mp4") for name in names],
            tmp_path,
            {"frames": Source(folder / "frames.parquet")},
            folder / "faces.parquet",
            {},
            cores=cores,
        )
        run(job)
        reader = ShardReader(folder / "faces.parquet")
        return {name: reader.by_id(name) for name in names}

    first, second = computed(list("abcd"), 1), computed(list("dcba"), 2)
    assert [first[name]["status"] for name in "abcd"] == ["ok", "ok", "no_face", "ok"]
    for name in "abd":
        assert first[name]["crops"] == second[name]["crops"]
        for column in ("box", "points", "transform", "score", "valid"):
            assert first[name][column].tobytes() == second[name][column].tobytes()


def test_a_bad_row_in_a_batch_costs_itself_only(astronaut, nobody):
    function = STAGE.open(FacesConfig(), Runtime())
    good = clip_of([scene((astronaut, 100, 80, 200))] * 3)
    outcomes = call(function, [good, clip_of([nobody] * 3), good])
    assert [outcome["status"] for outcome in outcomes] == ["ok", "no_face", "ok"]
