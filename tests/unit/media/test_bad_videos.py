"""Videos that are damaged, false or hostile: each has its defined result."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from decoding import decode

from expressway.core.errors import RowFailure, SystemicError
from expressway.core.subprocesses import ffmpeg_binary
from expressway.media.frames import Frames, Settings

from .conftest import MakeVideo, ffmpeg


def refused(path: Path, **arguments: object) -> str:
    with pytest.raises(RowFailure) as caught:
        decode(path, **arguments)
    assert caught.value.status == "unreadable"
    return str(caught.value)


def cut(path: Path, fraction: float) -> Path:
    data = path.read_bytes()
    short = path.with_name(f"cut-{path.name}")
    short.write_bytes(data[: int(len(data) * fraction)])
    return short


def flipped(path: Path, seed: int, count: int = 300) -> Path:
    """Damage bytes behind the first fifth, so that the header stays."""
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    places = np.random.default_rng(seed).integers(len(data) // 5, len(data), count)
    data[places] ^= 0x55
    damaged = path.with_name(f"flipped-{path.name}")
    damaged.write_bytes(data.tobytes())
    return damaged


def test_half_of_a_video_is_degraded_and_says_how_much_is_left(textured_video: Path) -> None:
    frames = decode(cut(textured_video, 0.5))
    assert frames.declared == 100
    assert 20 <= frames.decoded < 90
    assert len(frames.images) == frames.decoded
    assert frames.damage is not None
    assert frames.damage.startswith(f"decoded {frames.decoded} of 100 frames")


@pytest.mark.parametrize("settings", [Settings(maximum=8), Settings(rate=5)])
def test_what_is_left_is_sampled_evenly(textured_video: Path, settings: Settings) -> None:
    path = cut(textured_video, 0.5)
    whole, sampled = decode(path), decode(path, settings=settings)
    assert sampled.decoded == whole.decoded
    assert sampled.source_index[-1] > 0.7 * whole.source_index[-1]
    places = whole.source_index.tolist()
    kept = [whole.images[places.index(index)] for index in sampled.source_index]
    assert kept == list(sampled.images)


def test_a_stretch_before_the_cut_is_sound(textured_video: Path) -> None:
    frames = decode(cut(textured_video, 0.5), end=0.4)
    assert (frames.declared, frames.decoded, len(frames.images)) == (10, 10, 10)


def test_a_stretch_across_the_cut_is_degraded(textured_video: Path) -> None:
    frames = decode(cut(textured_video, 0.5), start=0.4, end=3.6)
    assert frames.declared == 80
    assert frames.decoded < 70
    assert frames.damage is not None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("settings", [Settings(), Settings(maximum=8)])
def test_flipped_bytes_are_noticed_and_repeatable(
    textured_video: Path, seed: int, settings: Settings
) -> None:
    path = flipped(textured_video, seed)

    def facts(frames: Frames) -> tuple[object, ...]:
        return frames.images, frames.source_index.tolist(), frames.damage, frames.errors

    once, again = decode(path, settings=settings), decode(path, settings=settings)
    assert once.damage is not None
    assert once.errors > 0
    assert facts(once) == facts(again)
    assert len(once.images) == len(once.source_index) == len(once.time)
    assert (np.diff(once.source_index) > 0).all()


@pytest.mark.parametrize("name", ["half.mkv", "half.avi", "half.webm"])
def test_other_containers_cut_in_half(textured_video: Path, tmp_path: Path, name: str) -> None:
    copied = tmp_path / name
    codec = {"half.avi": "mpeg4", "half.webm": "libvpx"}.get(name, "copy")
    ffmpeg("-i", textured_video, "-c:v", codec, copied)
    frames = decode(cut(copied, 0.5))
    assert frames.decoded < 90
    assert frames.damage is not None


def test_a_video_without_its_index(make_video: MakeVideo) -> None:
    assert "moov atom not found" in refused(cut(make_video(), 0.7))


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    assert refused(path) == "the file is empty (0 bytes)"


def test_text_named_as_a_video(tmp_path: Path) -> None:
    path = tmp_path / "text.mp4"
    path.write_text("not a video\n" * 100)
    assert "Invalid data" in refused(path)


def test_sound_without_pictures(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.5", path)
    assert refused(path) == "no video stream; the file holds: audio"


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    path, cover = tmp_path / "song.m4a", tmp_path / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=32x32", "-frames:v", 1, cover)
    ffmpeg(
        *("-f", "lavfi", "-i", "sine=duration=0.5", "-i", cover, "-map", 0, "-map", 1),
        *("-c:v", "copy", "-disposition:v:0", "attached_pic", path),
    )
    assert "no video stream" in refused(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "absent.mp4")
    assert "expected a video file" in refused(tmp_path)


@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8"])
def test_playlists_open_no_other_file(make_video: MakeVideo, tmp_path: Path, name: str) -> None:
    segment = make_video("segment.ts", count=5)
    playlist = tmp_path / name
    playlist.write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.2,\n{segment.name}\n#EXT-X-ENDLIST\n"
    )
    refused(playlist)


def test_ffconcat_scripts_open_no_other_file(make_video: MakeVideo, tmp_path: Path) -> None:
    make_video("other.mp4", count=5)
    script = tmp_path / "script.mp4"
    script.write_text("ffconcat version 1.0\nfile other.mp4\n")
    refused(script)


def test_protocols_are_no_paths(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video("real.ts", count=5)
    refused(Path(f"concat:{path}"))
    refused(Path("http://127.0.0.1:9/clip.mp4"))


def test_still_images_are_no_videos(tmp_path: Path) -> None:
    path = tmp_path / "picture.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=32x32", "-frames:v", 1, tmp_path / "picture.png")
    shutil.copy(tmp_path / "picture.png", path)
    refused(path)


def test_pictures_above_the_limit_are_not_decoded(make_video: MakeVideo) -> None:
    message = refused(make_video(count=2), settings=Settings(max_pixels=1000))
    assert message == "64x48 pixels are more than the 1000 that max_pixels allows"


@pytest.fixture
def own_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a program named ffmpeg first on the PATH; return the function that writes it."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def write(script: str) -> None:
        program = folder / "ffmpeg"
        program.write_text(f'#!/bin/sh\n[ "$1" = -version ] && exit 0\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        ffmpeg_binary.cache_clear()

    yield write
    ffmpeg_binary.cache_clear()


def test_a_broken_ffmpeg_is_no_fault_of_the_clip(
    make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(count=3)
    program = tmp_path / "bin/ffmpeg"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho libx264.so.164: no such file >&2; exit 127\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    ffmpeg_binary.cache_clear()
    with pytest.raises(SystemicError, match=r"does not work: libx264\.so\.164: no such file"):
        decode(path)
    ffmpeg_binary.cache_clear()


def test_a_hanging_decoder_is_stopped(make_video: MakeVideo, own_ffmpeg) -> None:
    path = make_video(count=3)
    own_ffmpeg("sleep 600 & wait")
    with pytest.raises(RowFailure) as caught:
        decode(path, settings=Settings(timeout=1.0))
    assert caught.value.status == "timeout"


def test_a_killed_decoder_is_told(make_video: MakeVideo, own_ffmpeg) -> None:
    path = make_video(count=3)
    own_ffmpeg("kill -9 $$")
    assert refused(path) == "ffmpeg was killed by signal 9"


def test_a_decoder_that_talks_nonsense(make_video: MakeVideo, own_ffmpeg) -> None:
    path = make_video(count=3)
    own_ffmpeg(
        "for word; do case $word in pipe:*) yes nonsense > /dev/fd/${word#pipe:} ;; esac; done"
    )
    assert refused(path) == "ffmpeg did not answer with pictures"
