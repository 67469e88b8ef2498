"""InsightFace through its own code, on ONNX files with the right signature."""

import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hub_server import HubServer

from expressway.core.errors import SystemicError
from expressway.faces.detectors import DetectorConfig, open_detector

BOX = (0.5, 0.75, 1.5, 1.75)
POINTS = np.array([(0.2, 0.1), (0.8, 0.1), (0.5, 0.5), (0.3, 0.9), (0.7, 0.9)])


def config(root: Path, **options) -> DetectorConfig:
    return DetectorConfig(
        detector="insightface", insightface={"root": str(root), "model": "tiny", **options}
    )


def white_cell(height: int, width: int, column: int, row: int, scale: int = 1) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    side = 32 * scale
    image[row * side : (row + 1) * side, column * side : (column + 1) * side] = 255
    return image


@pytest.mark.parametrize("scale", [1, 2])
def test_box_and_points_come_back_in_source_pixels(make_pack, scale):
    """The detector's input is 640 px: an image twice as large must give coordinates times two."""
    detector = open_detector(config(make_pack()))
    image = white_cell(480 * scale, 640 * scale, column=5, row=7, scale=scale)
    (face,) = detector.detect(image)
    corner = np.array([5, 7]) * 32.0
    left, top, right, bottom = np.array(BOX) * 32
    box = [corner[0] - left, corner[1] - top, corner[0] + right, corner[1] + bottom]
    np.testing.assert_allclose(face.box, np.array(box) * scale, atol=1e-3)
    np.testing.assert_allclose(face.points, (corner + POINTS * 32) * scale, atol=1e-3)
    # (255 - 127.5) / 128 over three channels, gain 20, bias -50, through the sigmoid
    assert face.score == pytest.approx(1 / (1 + np.exp(50 - 60 * 127.5 / 128)), abs=1e-5)


def test_no_white_cell_no_face(make_pack):
    detector = open_detector(config(make_pack()))
    assert detector.detect(np.zeros((480, 640, 3), np.uint8)) == []


def test_channels_reach_the_model_in_its_order(make_pack):
    """A grey image is the same in RGB and BGR; this asks the real conversion with one channel."""
    from expressway.faces.detectors.insightface import _as_bgr

    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    assert _as_bgr(red)[0, 0].tolist() == [0, 0, 255]


def test_equal_scores_are_ordered_from_the_left(make_pack):
    detector = open_detector(config(make_pack()))
    image = white_cell(480, 640, 12, 3) | white_cell(480, 640, 4, 9)
    faces = detector.detect(image)
    assert [round(float(face.box[0])) for face in faces] == [4 * 32 - 16, 12 * 32 - 16]


def test_landmarks_are_placed_by_the_box_around_the_points(make_pack):
    """2d106 looks at a square of 1.5 times the box; its points are in -1..1 of that square."""
    from expressway.faces.align import TEMPLATE
    from expressway.faces.detectors.insightface import TEMPLATE_BOX

    detector = open_detector(config(make_pack()))
    points = TEMPLATE * 2 + 30
    dense = detector.landmarks(np.zeros((300, 300, 3), np.uint8), points)
    box = TEMPLATE_BOX * 2 + 30
    reach = (box[1] - box[0]).max() * 1.5 / 2
    shape = np.stack([np.linspace(-0.5, 0.5, 106), np.linspace(0.25, -0.25, 106)], -1)
    assert dense.shape == (106, 2)
    np.testing.assert_allclose(dense, box.mean(0) + shape * reach, atol=1e-2)


def test_missing_weights_are_named_before_the_network_is_tried(tmp_path, capfd):
    with pytest.raises(SystemicError) as caught:
        open_detector(config(tmp_path))
    message = str(caught.value)
    assert str(tmp_path / "models" / "tiny") in message
    assert "non-commercial research only" in message
    assert "download: true" in message
    assert "ownload" not in "".join(capfd.readouterr())


def test_an_empty_folder_is_not_a_pack(tmp_path):
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    with pytest.raises(SystemicError, match="delete the folder"):
        open_detector(config(tmp_path, download=True))


@pytest.fixture
def zoo(make_pack, tmp_path, monkeypatch):
    """Where InsightFace fetches packs, on loopback: its fault is the test's to set."""
    pack = make_pack() / "models" / "tiny"
    served = tmp_path / "zoo"
    served.mkdir()
    with zipfile.ZipFile(served / "tiny.zip", "w") as archive:
        for path in sorted(pack.iterdir()):
            archive.write(path, path.name)
    with HubServer({"zoo/packs": served}) as server:
        address = f"{server.url}/zoo/packs/resolve/main/"
        monkeypatch.setattr("insightface.utils.storage.MODEL_ZOO_RELEASE_DOWNLOAD_URL", address)
        yield server


def damaged(repository: str, name: str, content: bytes, before: int) -> bytes:
    """One byte of the last network's content; the archive's own tables stay whole."""
    place = content.rindex(b"PK\x01\x02", 0, content.rindex(b"PK\x01\x02")) - 20
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def cut(repository: str, name: str, content: bytes, before: int) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("fault", [damaged, cut])
def test_an_archive_that_comes_damaged_is_fetched_once_more(zoo, tmp_path, fault):
    zoo.fault = lambda *asked: fault(*asked) if asked[3] == 0 else asked[2]
    open_detector(config(tmp_path / "fresh", download=True))
    assert zoo.sent["zoo/packs/tiny.zip"] == 2
    kept = {path.name for path in (tmp_path / "fresh/models").iterdir()}
    assert kept == {"tiny", ".tiny.lock"}


@pytest.mark.parametrize("fault", [damaged, cut])
def test_an_archive_that_comes_damaged_twice_is_refused_and_not_kept(zoo, tmp_path, fault):
    zoo.fault = fault
    asked = config(tmp_path / "fresh", download=True)
    for sent in (2, 4):
        with pytest.raises(SystemicError, match=r"fresh/models/tiny: .*not be fetched whole"):
            open_detector(asked)
        assert zoo.sent["zoo/packs/tiny.zip"] == sent
        assert not list((tmp_path / "fresh").rglob("*.onnx"))
    zoo.fault = lambda repository, name, content, before: content
    open_detector(asked)


def test_workers_that_start_together_fetch_one_archive(zoo, tmp_path):
    asked = config(tmp_path / "fresh", download=True)
    with ThreadPoolExecutor(3) as workers:
        assert len(list(workers.map(open_detector, [asked] * 3))) == 3
    assert zoo.sent["zoo/packs/tiny.zip"] == 1


def test_cuda_without_its_provider_is_refused_with_versions(make_pack, monkeypatch):
    import onnxruntime

    # also on a machine that has CUDA
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(SystemicError) as caught:
        open_detector(config(make_pack()), device="cuda")
    message = str(caught.value)
    assert onnxruntime.__version__ in message
    assert "CPUExecutionProvider" in message
    assert "onnxruntime-gpu" in message


@pytest.mark.parametrize(
    ("parts", "expected"),
    [({"landmarks": False}, "106-point"), ({"points": False}, "five points")],
)
def test_a_pack_that_lacks_a_part_is_refused(make_pack, parts, expected):
    with pytest.raises(SystemicError, match=expected):
        open_detector(config(make_pack(**parts)))


def test_a_broken_file_is_refused_by_name(make_pack):
    root = make_pack()
    broken = root / "models" / "tiny" / "det.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(SystemicError, match="cannot load this pack"):
        open_detector(config(root))


def test_weights_count_and_the_other_detectors_options_do_not(tmp_path):
    mine = config(tmp_path)
    assert mine.weights() == (str(tmp_path / "models" / "tiny"),)
    assert "mediapipe" not in mine.identity()
    assert "insightface" in mine.identity()
    assert DetectorConfig().weights() == ()
