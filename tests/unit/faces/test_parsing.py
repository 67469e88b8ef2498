"""Parsers: regions on real and drawn faces, a tiny SegFormer, saved label maps and their faults."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_segformer

from expressway.core.errors import ConfigError, RowFailure, SystemicError
from expressway.faces import align
from expressway.faces.landmarks import to_68
from expressway.faces.parsers import transformers as segmenters
from expressway.faces.parsers.regions import (
    MESH_CONTOURS,
    RegionsParser,
    draw,
    mesh_contours,
    point_contours,
)
from expressway.faces.parsers.saved import SavedParser
from expressway.faces.parsers.transformers import TransformersParser, class_table
from expressway.faces.parsing import CLASSES, INDEX, Portrait, crop_size, decode_mask, encode_mask

SIZE = 224
CELEBAMASK_LABELS = tiny_segformer.CELEBAMASK_LABELS


def jpeg(image: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]))[1].tobytes()


@pytest.fixture(scope="module")
def face(mediapipe_detector: Any, astronaut: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An aligned crop ``(224, 224, 3)`` of a smile with open lips, and its mesh ``(478, 3)``."""
    found = mediapipe_detector.detect(astronaut)[0]
    transform = align.similarity(found.points, align.template(SIZE))
    crop = align.crop(astronaut, transform, SIZE)
    mesh = mediapipe_detector.landmarks(crop, align.apply(transform, found.points))
    return crop, mesh


def portrait(face: tuple[np.ndarray, np.ndarray], frames: int = 2, **changes: Any) -> Portrait:
    crop, mesh = face
    values: dict[str, Any] = {
        "clip_id": "a",
        "crops": [jpeg(crop)] * frames,
        "source_index": np.arange(frames, dtype=np.int32) * 3,
        "points": np.stack([to_68(mesh, "mesh478")] * frames),
        "mesh": np.stack([mesh] * frames),
    }
    return Portrait(**{**values, **changes})


def centre(mask: np.ndarray, name: str) -> np.ndarray:
    """Return the mean (x, y) of a class."""
    y, x = np.nonzero(mask == INDEX[name])
    return np.array([x.mean(), y.mean()])


def test_the_order_is_facexformers() -> None:
    assert len(CLASSES) == 11
    assert (INDEX["skin"], INDEX["nose"], INDEX["hair"]) == (1, 6, 10)
    assert CLASSES[7:10] == ("upper_lip", "inner_mouth", "lower_lip")


def test_contours_consist_of_mediapipes_own_regions() -> None:
    from mediapipe.python.solutions import face_mesh_connections as connections

    def points(name: str) -> set[int]:
        return {point for pair in getattr(connections, f"FACEMESH_{name}") for point in pair}

    # MediaPipe's left is the person's, ours the image's.
    same = {
        "skin": "FACE_OVAL",
        "left_eye": "RIGHT_EYE",
        "right_eye": "LEFT_EYE",
        "left_brow": "RIGHT_EYEBROW",
        "right_brow": "LEFT_EYEBROW",
    }
    for ours, theirs in same.items():
        assert set(MESH_CONTOURS[ours]) == points(theirs)
        assert len(set(MESH_CONTOURS[ours])) == len(MESH_CONTOURS[ours])
    lips = set(MESH_CONTOURS["upper_lip"]) | set(MESH_CONTOURS["lower_lip"])
    assert lips == points("LIPS")


@pytest.mark.parametrize("layout", ["mesh", "points"])
def test_regions_of_a_real_face(face: Any, layout: str) -> None:
    crop, mesh = face
    contours = mesh_contours(mesh) if layout == "mesh" else point_contours(to_68(mesh, "mesh478"))
    mask = draw(contours, (SIZE, SIZE))
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == set(range(11)) - {INDEX["hair"]}
    left_brow, left_eye = centre(mask, "left_brow"), centre(mask, "left_eye")
    assert left_brow[1] < left_eye[1] < centre(mask, "nose")[1]
    assert left_eye[0] < centre(mask, "nose")[0] < centre(mask, "right_eye")[0]
    assert left_brow[0] < centre(mask, "right_brow")[0]
    order = ["nose", "upper_lip", "inner_mouth", "lower_lip"]
    heights = [centre(mask, name)[1] for name in order]
    assert heights == sorted(heights)
    # lips are redder than skin and teeth, so they lie where they should
    redness = crop[..., 0].astype(float) - crop[..., 1]
    lips = np.isin(mask, [INDEX["upper_lip"], INDEX["lower_lip"]])
    for name in ("skin", "inner_mouth"):
        # measured: lips 49, skin 31
        assert redness[lips].mean() > redness[mask == INDEX[name]].mean() + 10


def test_both_kinds_of_landmarks_give_like_masks(face: Any) -> None:
    mesh = face[1]
    dense = draw(mesh_contours(mesh), (SIZE, SIZE))
    sparse = draw(point_contours(to_68(mesh, "mesh478")), (SIZE, SIZE))
    # measured 0.985 and at least 0.82; brows, nose and forehead are estimated from the 68 points
    assert (dense == sparse).mean() > 0.97
    for index in range(1, 10):
        a, b = dense == index, sparse == index
        assert (a & b).sum() / (a | b).sum() > 0.75, CLASSES[index]


def test_a_closed_mouth_has_no_inside(face: Any) -> None:
    mesh = face[1].copy()
    lower, upper = list(MESH_CONTOURS["inner_mouth"][11:]), list(MESH_CONTOURS["inner_mouth"][1:10])
    mesh[lower] = mesh[upper[::-1]]
    mask = draw(mesh_contours(mesh), (SIZE, SIZE))
    assert (mask == INDEX["inner_mouth"]).sum() < 10


def test_regions_use_the_mesh_and_else_the_points(face: Any) -> None:
    with_mesh = list(RegionsParser().masks([portrait(face)]))
    without = list(RegionsParser().masks([portrait(face, mesh=np.zeros((0, 478, 3)))]))
    assert len(with_mesh) == len(without) == 2
    np.testing.assert_array_equal(with_mesh[0], draw(mesh_contours(face[1]), (SIZE, SIZE)))
    assert not np.array_equal(with_mesh[0], without[0])
    assert RegionsParser().missing_classes == ("hair",)


def test_a_face_at_the_edge_is_cut_not_refused(face: Any) -> None:
    moved = face[1] + np.array([200, -180, 0], np.float32)
    mask = draw(mesh_contours(moved), (SIZE, SIZE))
    assert mask.shape == (SIZE, SIZE)
    assert mask[:, :100].max() == 0
    assert draw(mesh_contours(moved * 1e12), (8, 8)).shape == (8, 8)


def test_landmarks_of_other_crops_are_refused(face: Any) -> None:
    wrong = portrait(face, points=np.zeros((3, 68, 2), np.float32))
    with pytest.raises(RowFailure, match="2 crops but landmarks of 3 frames"):
        list(RegionsParser().masks([wrong]))


def test_masks_survive_png() -> None:
    mask = np.random.default_rng(0).integers(0, 11, (40, 30), dtype=np.uint8)
    data = encode_mask(mask)
    np.testing.assert_array_equal(decode_mask(data), mask)
    assert data[:4] == b"\x89PNG"
    assert data[24:26] == b"\x08\x00"  # bit depth 8, greyscale
    for broken in (b"", b"no image", jpeg(np.zeros((8, 8, 3), np.uint8))):
        with pytest.raises(RowFailure, match="no label map"):
            decode_mask(broken)


def test_sizes_come_from_the_header() -> None:
    assert crop_size(jpeg(np.zeros((20, 30, 3), np.uint8)), 0) == (20, 30)
    with pytest.raises(RowFailure, match="frame 4"):
        crop_size(b"\xff\xd8 not a picture", 4)


# --- transformers


@pytest.fixture
def segformer(tmp_path: Path) -> Callable[..., str]:
    """Save a tiny random SegFormer with CelebAMask's labels and its image processor."""

    def make(labels: tuple[str, ...] = CELEBAMASK_LABELS, **processor: Any) -> str:
        return tiny_segformer.save(tmp_path / "segformer", labels, **processor)

    return make


def reference_masks(folder: str, crops: list[bytes]) -> list[np.ndarray]:
    """Label maps by transformers' own post-processing, one image at a time."""
    import cv2
    import torch
    from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

    processor = SegformerImageProcessor.from_pretrained(folder)
    network = SegformerForSemanticSegmentation.from_pretrained(folder).eval()
    found = []
    for crop in crops:
        image = cv2.imdecode(np.frombuffer(crop, np.uint8), cv2.IMREAD_COLOR_RGB)
        with torch.no_grad():
            output = network(**processor(images=image, return_tensors="pt"))
        labels = processor.post_process_semantic_segmentation(output, [image.shape[:2]])[0]
        found.append(labels.numpy())
    return found


def test_a_segformer_gives_what_transformers_gives(face: Any, segformer: Any) -> None:
    folder = segformer()
    crop = face[0]
    portraits = [
        Portrait("a", [jpeg(crop), jpeg(crop[:, ::-1])], np.arange(2)),
        Portrait("b", [], np.arange(0)),
        Portrait("c", [jpeg(crop[:128, :160])], np.arange(1)),
    ]
    parser = TransformersParser(folder)
    masks = list(parser.masks(portraits))
    wanted = reference_masks(folder, [*portraits[0].crops, *portraits[2].crops])
    to_class = {
        "skin": 1, "eye_g": 1, "l_brow": 2, "r_brow": 3, "l_eye": 4, "r_eye": 5, "nose": 6,
        "u_lip": 7, "mouth": 8, "l_lip": 9, "hair": 10,
    }  # fmt: skip
    table = np.array([to_class.get(label, 0) for label in CELEBAMASK_LABELS])
    for mask, labels in zip(masks, wanted, strict=True):
        assert mask.shape == labels.shape
        # a pixel on a border may flip where two logits are equal but for rounding
        assert (mask == table[labels]).mean() > 0.999
        assert len(np.unique(mask)) > 2
    assert parser.missing_classes == ()


def test_batches_change_nothing(face: Any, segformer: Any, monkeypatch: Any) -> None:
    folder = segformer()
    portraits = [portrait(face, 3), portrait((face[0][:, ::-1], face[1]), 2)]
    together = np.stack(list(TransformersParser(folder).masks(portraits)))
    monkeypatch.setitem(segmenters.FRAMES_PER_BATCH, "cpu", 2)
    apart = np.stack(list(TransformersParser(folder).masks(portraits)))
    assert (together == apart).mean() > 0.999


def test_labels_are_mapped_by_name(face: Any, segformer: Any) -> None:
    folder = segformer(("Face", "Left Eyebrow", "beard"))
    parser = TransformersParser(folder, {"beard": "skin"})
    assert parser.missing_classes == tuple(n for n in CLASSES if n not in ("skin", "left_brow"))
    masks = list(parser.masks([portrait(face, 1)]))
    assert set(np.unique(masks[0])) <= {1, 2}


def test_a_user_may_swap_sides() -> None:
    labels = {0: "l_eye", 1: "r_eye"}
    assert class_table("m", labels, {}).tolist() == [4, 5]
    swapped = class_table("m", labels, {"l_eye": "right_eye", "r_eye": "left_eye"})
    assert swapped.tolist() == [5, 4]


def test_all_mapping_problems_are_told_at_once() -> None:
    labels = {0: "skin", 1: "beard", 2: "tattoo"}
    with pytest.raises(ConfigError) as caught:
        class_table("m", labels, {"beard": "sking", "noze": "nose"})
    message = str(caught.value)
    assert "'tattoo' has no class" in message
    assert "'sking' is no class; did you mean 'skin'?" in message
    assert "no label 'noze'" in message


def test_a_processor_that_cuts_is_refused(segformer: Any) -> None:
    folder = segformer(do_center_crop=True, crop_size={"height": 32, "width": 32})
    with pytest.raises(ConfigError, match="do_center_crop"):
        TransformersParser(folder)


def test_a_model_that_is_not_there_says_what_to_do() -> None:
    with pytest.raises(SystemicError, match=r"nobody/parser.*save_pretrained"):
        TransformersParser("nobody/parser")


# --- import


def labels(seed: int, size: tuple[int, int] = (SIZE, SIZE)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 11, size, dtype=np.uint8)


def write_png(path: Path, mask: np.ndarray, mode: str = "L") -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(mask, "L")
    if mode == "P":
        image = image.copy()
        image.putpalette([17 * n % 256 for n in range(768)])
    (image.convert("RGB") if mode == "RGB" else image).save(path)


def read_saved(folder: Path, face: Any, frames: int = 2) -> list[np.ndarray]:
    return list(SavedParser(str(folder)).masks([portrait(face, frames)]))


@pytest.mark.parametrize("layout", ["png", "indexed", "facexformer", "npy", "stack"])
def test_every_layout_of_saved_masks(face: Any, tmp_path: Path, layout: str) -> None:
    wanted = [labels(0), labels(1)]
    if layout == "stack":
        np.save(tmp_path / "a.npy", np.stack(wanted).astype(np.int64))
    for index, mask in zip((0, 3), wanted, strict=True):
        if layout == "png":
            write_png(tmp_path / f"a/{index:06d}.png", mask)
        elif layout == "indexed":
            write_png(tmp_path / f"a/{index}.png", mask, "P")
        elif layout == "facexformer":
            write_png(tmp_path / f"a/{index}/parsing.png", mask)
            write_png(tmp_path / f"a/{index}/face.png", mask, "RGB")
        elif layout == "npy":
            (tmp_path / "a").mkdir(exist_ok=True)
            np.save(tmp_path / f"a/{index}.npy", mask)
    np.testing.assert_array_equal(read_saved(tmp_path, face), wanted)


def fail(folder: Path, face: Any, status: str) -> str:
    with pytest.raises(RowFailure) as caught:
        read_saved(folder, face)
    assert caught.value.status == status
    return str(caught.value)


def test_missing_frames(face: Any, tmp_path: Path) -> None:
    message = fail(tmp_path, face, "invalid")
    assert "2 of 2 frames (source index 0, 3)" in message
    assert "INDEX/parsing.png" in message
    write_png(tmp_path / "a/0.png", labels(0))
    write_png(tmp_path / "a/1.png", labels(0))
    assert "1 of 2 frames (source index 3)" in fail(tmp_path, face, "invalid")


@pytest.mark.parametrize("suffix", ["png", "npy"])
def test_wrong_size(face: Any, tmp_path: Path, suffix: str) -> None:
    small = labels(0, (112, 96))
    for index in (0, 3):
        write_png(tmp_path / f"a/{index}.png", small)
        if suffix == "npy":
            (tmp_path / f"a/{index}.png").unlink()
            np.save(tmp_path / f"a/{index}.npy", small)
    assert "size 112x96, but its crop has 224x224" in fail(tmp_path, face, "invalid")


def test_wrong_labels(face: Any, tmp_path: Path) -> None:
    write_png(tmp_path / "a/0.png", labels(0) + 8)
    write_png(tmp_path / "a/3.png", labels(0))
    assert "labels 8 to 18, expected 0 to 10" in fail(tmp_path, face, "invalid")


def test_a_coloured_picture_is_no_label_map(face: Any, tmp_path: Path) -> None:
    for index in (0, 3):
        write_png(tmp_path / f"a/{index}.png", labels(0), "RGB")
    assert "parsing_visualization.png" in fail(tmp_path, face, "invalid")


def test_damaged_files(face: Any, tmp_path: Path) -> None:
    for index in (0, 3):
        write_png(tmp_path / f"a/{index}.png", labels(index))
    whole = (tmp_path / "a/3.png").read_bytes()
    (tmp_path / "a/3.png").write_bytes(whole[: len(whole) // 2])
    assert "3.png" in fail(tmp_path, face, "unreadable")
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY broken")
    assert "a.npy" in fail(tmp_path, face, "unreadable")


def test_a_stack_of_another_length_or_kind(face: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, SIZE, SIZE), np.uint8))
    assert "expected (2, height, width)" in fail(tmp_path, face, "invalid")
    np.save(tmp_path / "a.npy", np.zeros((2, SIZE, SIZE), np.float32))
    assert "float32" in fail(tmp_path, face, "invalid")
    np.save(tmp_path / "a.npy", np.full((2, SIZE, SIZE), -1, np.int8))
    assert "labels -1 to -1" in fail(tmp_path, face, "invalid")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        SavedParser(str(tmp_path / "none"))
