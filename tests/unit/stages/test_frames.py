"""The frames stage through the real runner: worker processes, shard tables, rows for failures."""

import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from expressway.core.manifest import Clip
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.store import ShardReader
from expressway.core.subprocesses import ffmpeg_binary
from expressway.stages.frames import STAGE, FramesConfig

FRAMES = 25


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a data set: two videos, a folder, an image, half a video, text, an empty file."""
    root = tmp_path / "data"
    folder = root / "folder"
    folder.mkdir(parents=True)
    command = [ffmpeg_binary(), "-y", "-loglevel", "error", "-f", "lavfi"]
    source = f"testsrc2=size=160x120:rate=25:duration={FRAMES / 25}"
    codec = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    subprocess.run([*command, "-i", source, *codec, str(root / "good.mp4")], check=True)
    data = (root / "good.mp4").read_bytes()
    (root / "name with 'quotes' %d.mp4").write_bytes(data)
    (root / "half.mp4").write_bytes(data[: len(data) * 6 // 10])
    (root / "text.mp4").write_text("not a video")
    (root / "empty.mp4").touch()
    for number in range(3):
        Image.new("RGB", (32, 24), (number, 0, 0)).save(folder / f"{number}.png")
    Image.new("RGB", (32, 24)).save(root / "face.jpg")
    return root


CLIPS = (
    Clip("good", "good.mp4"),
    Clip("text", "text.mp4"),
    Clip("half", "half.mp4"),
    Clip("empty", "empty.mp4"),
    Clip("folder", "folder", kind="frames"),
    Clip("face", "face.jpg", kind="image"),
    Clip("gone", "gone.mp4"),
    Clip("part", "name with 'quotes' %d.mp4", start=0.2, end=0.6),
)


def computed(root: Path, config: FramesConfig, cores: int = 2) -> tuple[Counter[str], ShardReader]:
    output = root.parent / f"{config.damaged}-{cores}.parquet"
    counts = run(Job(STAGE, config, CLIPS, root, {}, output, {}, cores=cores))
    return counts, ShardReader(output)


def test_every_clip_is_a_row_whatever_happens_to_it(root: Path) -> None:
    counts, shard = computed(root, FramesConfig())
    assert shard.ids == [clip.id for clip in CLIPS]
    states = {clip.id: state for clip, state in zip(CLIPS, shard.states, strict=True)}
    assert {name: state["status"] for name, state in states.items()} == {
        "good": "ok",
        "text": "unreadable",
        "half": "degraded",
        "empty": "unreadable",
        "folder": "ok",
        "face": "ok",
        "gone": "unreadable",
        "part": "ok",
    }
    assert sum(counts.values()) == len(CLIPS)
    assert "Invalid data" in states["text"]["error_message"]
    assert states["empty"]["error_message"] == "the file is empty (0 bytes)"
    assert states["half"]["error_message"].startswith("decoded ")


def test_rows_hold_facts_and_pictures(root: Path) -> None:
    _, shard = computed(root, FramesConfig())
    good = shard.by_id("good")
    assert (good["width"], good["height"], good["fps"], good["rotation"]) == (160, 120, 25.0, 0)
    assert good["declared_frames"] == good["decoded_frames"] == len(good["images"]) == FRAMES
    assert good["decoder_errors"] == 0
    np.testing.assert_array_equal(good["source_index"], np.arange(FRAMES))
    assert good["source_index"].dtype == np.int32
    assert good["time"].dtype == np.float64
    part = shard.by_id("part")
    np.testing.assert_array_equal(part["source_index"], np.arange(5, 15))
    assert part["images"] == good["images"][5:15]
    assert shard.by_id("folder")["images"][1] == (root / "folder" / "1.png").read_bytes()
    assert shard.by_id("face")["images"] == [(root / "face.jpg").read_bytes()]
    half = shard.by_id("half")
    assert half["declared_frames"] == FRAMES
    assert 0 < half["decoded_frames"] == len(half["images"]) < FRAMES


def test_damaged_videos_can_be_dropped(root: Path) -> None:
    _, shard = computed(root, FramesConfig(damaged="drop"))
    state = shard.states[shard.ids.index("half")]
    assert state["status"] == "unreadable"
    assert "dropped" in state["error_message"]
    assert shard.by_id("half")["images"] is None


def test_one_worker_and_two_give_the_same(root: Path) -> None:
    _, one = computed(root, FramesConfig(rate=5), cores=1)
    _, two = computed(root, FramesConfig(rate=5), cores=2)
    for name in ("good", "half", "part", "folder"):
        assert one.by_id(name)["images"] == two.by_id(name)["images"]
    np.testing.assert_array_equal(one.by_id("good")["source_index"], [0, 5, 10, 15, 20])


def test_only_what_decides_the_pixels_makes_rows_stale() -> None:
    config = FramesConfig()
    assert config.identity() == FramesConfig(keep=False, timeout_seconds=5).identity()
    for changed in ({"rate": 5}, {"maximum": 16}, {"damaged": "drop"}, {"quality": 98}):
        assert config.identity() != FramesConfig.model_validate(changed).identity()
    assert config.manifest_columns() == ("id", "path", "kind", "start", "end", "sha256")
