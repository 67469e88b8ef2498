"""Videos that share a run of ffmpeg come as if each had one of its own."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from decoding import decode as decode_alone
from decoding import part

from expressway.core.errors import RowFailure
from expressway.core.manifest import Clip
from expressway.core.subprocesses import ffmpeg_binary
from expressway.media import decoder
from expressway.media.decode import decode
from expressway.media.frames import Frames, Settings
from expressway.media.machine import shared_runs

from .conftest import H264, MakeVideo, ffmpeg, lay_on_its_side

Part = tuple[Path, Clip]


def alone(source: Part, settings: Settings) -> Frames | RowFailure:
    path, clip = source
    try:
        return decode_alone(path, clip.kind, clip.start, clip.end, settings)
    except RowFailure as error:
        return error


def facts(found: Frames | RowFailure) -> dict[str, object]:
    if isinstance(found, RowFailure):
        return {"status": found.status, "message": str(found)}
    values = asdict(found)
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}


@pytest.fixture(autouse=True, params=["on the PATH", "carried"])
def each_ffmpeg(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Newer ones run their inputs, filters and outputs in threads of their own."""
    if request.param == "carried":
        folder = tmp_path / "carried"
        folder.mkdir()
        (folder / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    ffmpeg_binary.cache_clear()
    yield
    ffmpeg_binary.cache_clear()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many clips each run of ffmpeg took."""
    counted: list[int] = []
    run = decoder.decode

    def noted(requests, timeout):
        counted.append(len(requests))
        return run(requests, timeout)

    monkeypatch.setattr(decoder, "decode", noted)
    return counted


@pytest.fixture
def sources(make_video: MakeVideo, tmp_path: Path) -> list[Part]:
    """Sound videos of several sizes, rates, lengths and containers; parts, one on its side."""
    moving = tmp_path / "moving.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=30:duration=3", "-g", 15, moving)
    return [
        part(make_video("a.mp4", count=50)),
        part(make_video("b.mkv", count=1, size=(33, 17), codec=("-c:v", "ffv1"))),
        part(lay_on_its_side(make_video("c.mp4", count=12, size=(96, 48)))),
        part(moving, start=1.2, end=2.1),
        part(make_video("d.mp4", "-output_ts_offset", 7, count=30, rate=10)),
        part(make_video("e 'quoted' [x];%d.mp4", count=9)),
    ]


@pytest.mark.parametrize(
    "settings",
    [Settings(), Settings(maximum=4), Settings(rate=5), Settings(maximum=2, quality=100)],
)
def test_bytes_are_those_of_a_run_for_each(
    sources: list[Part], runs: list[int], settings: Settings
) -> None:
    found = decode(sources, settings)
    assert runs == [len(sources)]
    assert [facts(one) for one in found] == [facts(alone(source, settings)) for source in sources]
    assert [one.rotation for one in found] == [0, 0, 270, 0, 0, 0]
    assert not any(one.damage for one in found)


def test_a_damaged_video_costs_its_company_nothing(
    sources: list[Part], runs: list[int], textured_video: Path, tmp_path: Path
) -> None:
    half = tmp_path / "half.mp4"
    half.write_bytes(textured_video.read_bytes()[: textured_video.stat().st_size // 2])
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    odd = [*sources[:2], part(half), part(text), part(tmp_path / "gone.mp4"), *sources[2:]]
    settings = Settings(maximum=6)
    found = decode(odd, settings)
    assert runs[0] == len(sources) + 1  # text and gone never came to ffmpeg
    assert [facts(one) for one in found] == [facts(alone(source, settings)) for source in odd]
    assert found[2].damage.startswith("decoded ")
    assert [found[place].status for place in (3, 4)] == ["unreadable", "unreadable"]


@pytest.fixture
def wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return a function that puts shell lines before the real ffmpeg ("$real")."""
    real, folder = ffmpeg_binary(), tmp_path / "bin"
    folder.mkdir()

    def wrap(lines: str) -> None:
        program = folder / "ffmpeg"
        program.write_text(f'#!/bin/sh\nreal={real}\n{lines}\nexec $real "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
        ffmpeg_binary.cache_clear()

    yield wrap
    ffmpeg_binary.cache_clear()


@pytest.mark.parametrize(
    ("what", "outcome"), [("kill -9 $$", "killed by signal 9"), ("sleep 600", "stopped after 2 s")]
)
def test_a_decoder_that_dies_or_hangs_costs_one_row(
    sources: list[Part], wrapped: Callable[[str], None], what: str, outcome: str
) -> None:
    expected = [facts(alone(source, Settings())) for source in sources]
    wrapped(f'case "$*" in *file:{sources[1][0]}*) {what} ;; esac')
    found = decode(sources, Settings(timeout=2.0))
    assert outcome in str(found[1])
    assert isinstance(found[1], RowFailure)
    assert [facts(one) for one in found if one is not found[1]] == expected[:1] + expected[2:]


def test_a_run_that_was_told_to_end_is_not_believed(
    textured_video: Path, tmp_path: Path, wrapped: Callable[[str], None], runs: list[int]
) -> None:
    sources = [part(Path(shutil.copy(textured_video, tmp_path / f"{n}.mp4"))) for n in range(3)]
    expected = [facts(alone(source, Settings())) for source in sources]
    wrapped(
        'case "$*" in *file:*file:*) '
        '"$real" -nostdin -f lavfi -re -i testsrc -f null - 2>/dev/null & sleep 0.3; kill $!; '
        "wait $!; exit $? ;; esac"
    )
    runs.clear()
    assert [facts(one) for one in decode(sources, Settings())] == expected
    assert runs == [3, 1, 1, 1]


def test_a_video_that_changes_its_size_disturbs_no_other(
    make_video: MakeVideo, tmp_path: Path, runs: list[int]
) -> None:
    parts = []
    for number, size in enumerate(["160x120", "320x240", "64x64"]):
        parts.append(tmp_path / f"{number}.ts")
        source = f"testsrc2=size={size}:rate=25:duration=0.4"
        ffmpeg("-f", "lavfi", "-i", source, *H264, "-output_ts_offset", number, parts[-1])
    changing = tmp_path / "changing.ts"
    changing.write_bytes(b"".join(part.read_bytes() for part in parts))
    sources = [
        part(make_video("a.mp4", count=50), start=0.4, end=1.2),
        part(changing),
        part(make_video("b.mp4", count=50), end=0.4),
    ]
    found = decode(sources, Settings())
    assert runs == [3]
    assert [facts(one) for one in found] == [facts(alone(source, Settings())) for source in sources]


def test_other_kinds_keep_their_places(sources: list[Part], tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    ffmpeg("-f", "lavfi", "-i", "testsrc2=duration=0.2:size=32x32", folder / "%d.png")
    mixed = [sources[0], part(folder, "frames"), sources[1], part(folder / "1.png", "image")]
    mixed.insert(2, part(folder, "sound"))
    found = decode(mixed, Settings())
    assert [getattr(one, "container", None) for one in found[1:2]] == ["folder"]
    assert found[2].status == "invalid"
    assert [facts(one) for one in found] == [facts(alone(source, Settings())) for source in mixed]


def test_groups_are_bounded_and_hold_a_file_once(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [make_video(f"{n}.mp4", count=4) for n in range(3)]

    def lengths(sources: list[Part]) -> list[int]:
        opened = [shared_runs.video.open_stretch(p, c.start, c.end, Settings()) for p, c in sources]
        return [len(group) for group in shared_runs.groups(opened)]

    assert lengths([part(path) for path in paths]) == [3]
    twice = [part(paths[0], end=0.1), part(paths[0], start=0.1), part(paths[1])]
    assert lengths(twice) == [1, 2]
    monkeypatch.setattr(shared_runs, "CLIPS_PER_RUN", 2)
    assert lengths([part(path) for path in paths]) == [2, 1]
    monkeypatch.setattr(shared_runs, "PIXELS_PER_RUN", 64 * 48 * shared_runs.FRAMES_IN_FLIGHT)
    assert lengths([part(path) for path in paths]) == [1, 1, 1]
