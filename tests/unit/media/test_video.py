"""Videos that are sound, however odd: right frames, right places, right way up."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from decoding import decode
from PIL import Image

from expressway.core.errors import RowFailure
from expressway.media import video
from expressway.media.frames import Settings

from .conftest import MakeVideo, ffmpeg, lay_on_its_side, pixels, shown

LOSSLESS = ("-c:v", "ffv1")


def test_every_frame_in_its_place(make_video: MakeVideo) -> None:
    frames = decode(make_video())
    assert [shown(image) for image in frames.images] == list(range(50))
    assert frames.source_index.tolist() == list(range(50))
    np.testing.assert_allclose(frames.time, np.arange(50) / 25, atol=1e-6)
    assert (frames.width, frames.height, frames.rotation) == (64, 48, 0)
    assert (frames.fps, frames.duration) == (25.0, 2.0)
    assert (frames.declared, frames.decoded, frames.errors, frames.damage) == (50, 50, 0, None)
    assert frames.codec == "h264"
    assert frames.container.startswith("mov,mp4")


def test_images_are_jpeg_without_chroma_subsampling(make_video: MakeVideo) -> None:
    import io

    image = Image.open(io.BytesIO(decode(make_video(count=1)).images[0]))
    assert image.format == "JPEG"
    assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3
    # the first entry of the luminance table at libjpeg's quality 95 is 2
    assert image.quantization[0][0] <= 2


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(maximum=5), [5, 15, 25, 35, 45]),
        (Settings(rate=5), list(range(0, 50, 5))),
        (Settings(rate=5, maximum=2), [10, 35]),
        (Settings(maximum=1000), list(range(50))),
    ],
)
def test_sampling_keeps_the_chosen_frames(
    make_video: MakeVideo, settings: Settings, expected: list[int]
) -> None:
    frames = decode(make_video(), settings=settings)
    assert frames.source_index.tolist() == expected
    assert [shown(image) for image in frames.images] == expected
    assert (frames.decoded, frames.damage) == (50, None)


def test_choosing_in_ffmpeg_and_here_is_the_same(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video()
    inside = decode(path, settings=Settings(maximum=7))
    monkeypatch.setattr(video, "MAX_SELECTED", 3)
    here = decode(path, settings=Settings(maximum=7))
    assert inside.images == here.images
    assert inside.source_index.tolist() == here.source_index.tolist()


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0.4, 1.2, range(10, 30)),
        (None, 0.2, range(5)),
        (1.8, None, range(45, 50)),
        (0.41, 0.48, range(11, 12)),
        (0.0, 99.0, range(50)),
    ],
)
def test_a_stretch_is_half_open(
    make_video: MakeVideo, start: float | None, end: float | None, expected: range
) -> None:
    frames = decode(make_video(), start=start, end=end)
    assert frames.source_index.tolist() == list(expected)
    assert [shown(image) for image in frames.images] == list(expected)
    assert (frames.declared, frames.decoded, frames.damage) == (len(expected), len(expected), None)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.avi", "clip.flv"])
def test_stretches_behind_a_keyframe_are_exact(make_video: MakeVideo, name: str) -> None:
    codec = ("-c:v", "mpeg4", "-q:v", "2") if name.endswith("avi") else None
    options = ("-g", "10", "-bf", "2")
    path = make_video(name, *options, codec=codec) if codec else make_video(name, *options)
    frames = decode(path, start=1.0, end=1.4, settings=Settings(maximum=4))
    assert frames.source_index.tolist() == [26, 28, 31, 33]
    assert [shown(image) for image in frames.images] == frames.source_index.tolist()
    assert (frames.decoded, frames.damage) == (10, None)


def test_ticks_of_a_stretch_start_with_the_stretch(make_video: MakeVideo) -> None:
    frames = decode(make_video(), start=0.44, end=1.0, settings=Settings(rate=5))
    assert [shown(image) for image in frames.images] == [11, 16, 21]


def test_a_stretch_behind_the_end_says_so(make_video: MakeVideo) -> None:
    with pytest.raises(RowFailure, match=r"no frame between 30 s and 40 s; the video holds 50"):
        decode(make_video(), start=30.0, end=40.0)


def test_variable_frame_rate_keeps_places_and_times(make_video: MakeVideo, tmp_path: Path) -> None:
    steady = make_video("steady.mkv", codec=LOSSLESS)
    uneven = tmp_path / "uneven.mp4"
    ffmpeg(
        *("-i", steady, "-vf", "select=lt(n\\,10)+not(mod(n\\,5))", "-fps_mode", "vfr"),
        *("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", 8, uneven),
    )
    kept = [*range(10), *range(10, 50, 5)]
    frames = decode(uneven)
    assert [shown(image) for image in frames.images] == kept
    assert frames.source_index.tolist() == list(range(len(kept)))
    np.testing.assert_allclose(frames.time, np.array(kept) / 25, atol=1e-4)
    ticks = decode(uneven, settings=Settings(rate=10))
    # ticks 0.0, 0.1, ...: frames 0, 2, 5, 7 while the rate is high, then each held frame once
    assert [shown(image) for image in ticks.images] == [0, 2, 5, 7, *range(10, 50, 5)]


def test_rotation_is_applied_and_told(make_video: MakeVideo) -> None:
    frames = decode(lay_on_its_side(make_video()), settings=Settings(maximum=2))
    assert (frames.width, frames.height, frames.rotation) == (48, 64, 270)
    assert pixels(frames.images[0]).shape == (64, 48, 3)
    assert frames.damage is None


def test_rotation_turns_the_right_way(tmp_path: Path) -> None:
    flat = tmp_path / "flat.mp4"
    source = "color=black:size=64x48:rate=25:duration=0.2,drawbox=w=32:color=white:t=fill"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libx264", "-pix_fmt", "yuv420p", flat)
    picture = pixels(decode(lay_on_its_side(flat)).images[0])
    # the left half is white; a quarter turn clockwise brings it to the top
    assert picture[:24].mean() > 200
    assert picture[40:].mean() < 50


def test_an_edit_list_hides_frames_without_damage(make_video: MakeVideo, tmp_path: Path) -> None:
    trimmed = tmp_path / "trimmed.mp4"
    ffmpeg("-ss", 0.6, "-i", make_video("long.mp4", "-g", 50), "-c", "copy", trimmed)
    frames = decode(trimmed)
    assert [shown(image) for image in frames.images] == list(range(15, 50))
    assert frames.source_index.tolist() == list(range(35))
    assert frames.damage is None


@pytest.mark.parametrize(
    ("pixel_format", "codec"),
    [
        ("gray", LOSSLESS),
        ("yuv420p10le", LOSSLESS),
        ("yuv444p12le", LOSSLESS),
        ("yuva420p", LOSSLESS),
        ("bgra", LOSSLESS),
        ("rgb24", ("-c:v", "qtrle")),
        ("yuv420p", ("-c:v", "mjpeg", "-strict", "unofficial", "-q:v", "2")),
    ],
)
def test_pixel_formats_come_out_as_8_bit_rgb(
    make_video: MakeVideo, pixel_format: str, codec: tuple[str, ...]
) -> None:
    name = "clip.mov" if "qtrle" in codec else "clip.mkv"
    frames = decode(make_video(name, "-pix_fmt", pixel_format, count=12, codec=codec))
    assert [shown(image) for image in frames.images] == list(range(12))
    assert pixels(frames.images[0]).shape == (48, 64, 3)
    assert pixels(frames.images[0]).dtype == np.uint8


@pytest.mark.parametrize("size", [(63, 47), (64, 47), (17, 99)])
def test_odd_sizes(make_video: MakeVideo, size: tuple[int, int]) -> None:
    frames = decode(make_video("odd.mkv", count=3, size=size, codec=LOSSLESS))
    assert (frames.width, frames.height) == size
    assert [shown(image) for image in frames.images] == [0, 1, 2]


def test_a_clip_of_one_frame(make_video: MakeVideo) -> None:
    for settings in (Settings(), Settings(rate=5), Settings(maximum=16)):
        frames = decode(make_video(count=1), settings=settings)
        assert frames.source_index.tolist() == [0]
        assert frames.damage is None


def test_a_change_of_size_on_the_way_keeps_one_size(make_video: MakeVideo, tmp_path: Path) -> None:
    small, large = make_video("a.ts", count=5), make_video("b.ts", count=5, size=(128, 96))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    frames = decode(joined)
    assert len({pixels(image).shape for image in frames.images}) == 1
    assert len(frames.images) >= 5


def test_colours_survive(tmp_path: Path) -> None:
    path = tmp_path / "red.mp4"
    source = "color=0xC02040:size=64x64:rate=25:duration=0.2"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libx264", "-pix_fmt", "yuv420p", path)
    colour = pixels(decode(path).images[0]).reshape(-1, 3).mean(axis=0)
    # 8-bit limited-range video and a JPEG round by about two steps each
    np.testing.assert_allclose(colour, [0xC0, 0x20, 0x40], atol=6)


@pytest.mark.parametrize(
    "name",
    [
        "with spaces.mp4",
        'it\'s "quoted".mp4',
        "percent %d %03d.mp4",
        "-leading-dash.mp4",
        "smile 😀 Ærøskøbing 表情.mp4",
        "semi;colon&and|pipe.mp4",
        "[0:v],eq(n\\,1).mp4",
        "concat:other.mp4",
        "http:##host.mp4",
    ],
)
def test_odd_names_are_only_names(make_video: MakeVideo, tmp_path: Path, name: str) -> None:
    path = make_video("plain.mp4", count=4).rename(tmp_path / name)
    frames = decode(path, settings=Settings(maximum=2))
    assert [shown(image) for image in frames.images] == [1, 3]


def test_the_same_video_gives_the_same_bytes(textured_video: Path) -> None:
    once, again = decode(textured_video), decode(textured_video)
    assert once.images == again.images


def test_ten_thousand_frames_in_bounded_memory(make_video: MakeVideo) -> None:
    path = make_video("long.mp4", count=10_000)
    raw = 10_000 * 64 * 48 * 3
    decode(path, end=0.2)
    tracemalloc.start()
    frames = decode(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert frames.decoded == len(frames.images) == 10_000
    kept = sum(len(image) for image in frames.images)
    assert peak < kept + raw / 4
