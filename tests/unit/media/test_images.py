"""Still images and folders of frames."""

import io
from pathlib import Path

import numpy as np
import pytest
from decoding import decode
from PIL import Image

from expressway.core.errors import RowFailure
from expressway.media.frames import Settings
from expressway.media.images import listed, natural

from .conftest import pixels


def picture(level: int = 100, size: tuple[int, int] = (40, 30)) -> Image.Image:
    gradient = np.zeros((size[1], size[0], 3), np.uint8)
    gradient[:, :, 0] = np.linspace(0, 255, size[0]).astype(np.uint8)
    gradient[:, :, 1] = level
    return Image.fromarray(gradient)


def refused(path: Path, kind: str, **arguments: object) -> str:
    with pytest.raises(RowFailure) as caught:
        decode(path, kind, **arguments)
    assert caught.value.status == "unreadable"
    return str(caught.value)


@pytest.mark.parametrize("name", ["face.jpg", "face.png"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_and_png_keep_their_bytes(tmp_path: Path, name: str, mode: str) -> None:
    path = tmp_path / name
    picture().convert(mode).save(path)
    frames = decode(path, "image")
    assert list(frames.images) == [path.read_bytes()]
    assert (frames.width, frames.height, frames.rotation, frames.damage) == (40, 30, 0, None)
    assert (frames.fps, frames.duration) == (None, None)
    assert (frames.source_index.tolist(), frames.time.tolist()) == ([0], [0.0])
    assert (frames.declared, frames.decoded) == (1, 1)


@pytest.mark.parametrize("name", ["face.bmp", "face.webp", "face.tiff", "face.ppm"])
def test_other_formats_become_jpeg(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    picture().save(path)
    (image,) = decode(path, "image").images
    assert Image.open(io.BytesIO(image)).format == "JPEG"
    # webp and JPEG are lossy; a wrong channel order would be off by a hundred
    np.testing.assert_allclose(pixels(image).mean((0, 1)), [127.5, 100, 0], atol=4)


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "CMYK", "1"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("face.tiff" if mode == "CMYK" else "face.png")
    picture().convert(mode).save(path)
    (image,) = decode(path, "image").images
    decoded = Image.open(io.BytesIO(image))
    assert (decoded.format, decoded.mode, decoded.size) == ("JPEG", "RGB", (40, 30))


def test_deep_grey_is_scaled_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((30, 40), 128 * 257, np.uint16)).save(path)
    (image,) = decode(path, "image").images
    np.testing.assert_allclose(pixels(image), 128, atol=1)


@pytest.mark.parametrize(("orientation", "rotation"), [(3, 180), (6, 270), (8, 90)])
def test_orientation_flags_are_applied(tmp_path: Path, orientation: int, rotation: int) -> None:
    path = tmp_path / "turned.jpg"
    flags = Image.Exif()
    flags[0x0112] = orientation
    picture().save(path, exif=flags, quality=95)
    frames = decode(path, "image")
    upright = Image.open(io.BytesIO(frames.images[0]))
    assert upright.getexif().get(0x0112) is None
    assert upright.size == (frames.width, frames.height)
    assert frames.rotation == rotation
    expected = np.rot90(np.asarray(picture()), rotation // 90).astype(int)
    np.testing.assert_allclose(pixels(frames.images[0]), expected, atol=12)


def test_a_truncated_image(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    picture(size=(400, 300)).save(path)
    path.write_bytes(path.read_bytes()[:-1500])
    assert "truncated" in refused(path, "image")


@pytest.mark.parametrize("data", [b"", b"hello", b"<svg/>", b"%!PS-Adobe EPSF-3.0\n"])
def test_files_that_are_no_images(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "face.jpg"
    path.write_bytes(data)
    assert "not an image of a known format" in refused(path, "image")


def test_large_images_are_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(path)
    assert path.stat().st_size < 100_000
    assert "400000000" in refused(path, "image") or "20000x20000" in refused(path, "image")


def test_a_missing_image(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "absent.jpg", "image")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of 12 frames whose green tells their number; names without padding."""
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(12):
        picture(level=10 * number).save(frames / f"img{number + 1}.png")
    (frames / "notes.txt").write_text("no image")
    (frames / ".hidden.png").write_text("no image")
    return frames


def numbers(images: list[bytes]) -> list[int]:
    return [int(pixels(image)[0, 0, 1]) // 10 for image in images]


def test_a_folder_is_read_in_natural_order(folder: Path) -> None:
    frames = decode(folder, "frames")
    assert numbers(list(frames.images)) == list(range(12))
    assert frames.source_index.tolist() == list(range(12))
    np.testing.assert_allclose(frames.time, np.arange(12) / 25)
    assert frames.images[0] == (folder / "img1.png").read_bytes()
    assert (frames.declared, frames.decoded, frames.damage) == (12, 12, None)
    assert (frames.fps, frames.duration, frames.container) == (25.0, 12 / 25, "folder")


def test_a_folder_may_be_read_in_the_order_of_the_releases(folder: Path) -> None:
    frames = decode(folder, "frames", None, None, Settings(folder_sort="lexicographic"))
    assert numbers(list(frames.images)) == [0, 9, 10, 11, *range(1, 9)]
    assert frames.source_index.tolist() == list(range(12))


def test_a_folder_is_cut_and_sampled_like_a_video(folder: Path) -> None:
    settings = Settings(rate=5, folder_rate=10)
    frames = decode(folder, "frames", 0.2, 0.8, settings)
    assert frames.source_index.tolist() == [2, 4, 6]
    assert numbers(list(frames.images)) == [2, 4, 6]
    np.testing.assert_allclose(frames.time, [0.2, 0.4, 0.6])
    assert frames.declared == 6


def test_a_broken_frame_is_left_out_and_told(folder: Path) -> None:
    (folder / "img4.png").write_bytes(b"broken")
    frames = decode(folder, "frames")
    assert frames.source_index.tolist() == [0, 1, 2, *range(4, 12)]
    assert (frames.declared, frames.decoded, frames.errors) == (12, 11, 1)
    assert frames.damage == "decoded 11 of 12 frames: img4.png: not an image of a known format"


def test_folders_without_frames(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert refused(empty, "frames") == "no image in this folder or stretch"
    assert refused(folder, "frames", start=9.0) == "no image in this folder or stretch"
    assert "expected a folder" in refused(folder / "img1.png", "frames")
    for file in folder.glob("*.png"):
        file.write_bytes(b"broken")
    assert "not an image" in refused(folder, "frames")


def test_natural_order() -> None:
    names = ["b1", "a10", "a2", "a02", "10", "9", "a"]
    assert sorted(names, key=natural) == ["9", "10", "a", "a02", "a2", "a10", "b1"]


def test_suffixes_are_read_without_regard_to_case(tmp_path: Path) -> None:
    for name in ("1.JPG", "2.Jpeg", "3.PNG"):
        picture().save(tmp_path / name)
    assert [file.name for file in listed(tmp_path)] == ["1.JPG", "2.Jpeg", "3.PNG"]


def test_an_unknown_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(RowFailure, match="kind 'sound' is unknown") as caught:
        decode(tmp_path, "sound")
    assert caught.value.status == "invalid"
