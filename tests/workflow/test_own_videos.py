"""README, "Your own videos": a folder of anything becomes stores and a report of what was found."""

import shutil
import subprocess

import numpy as np
import pytest
from project import ROOT, Project, lay_out

from expressway.core.store import Store
from expressway.core.subprocesses import ffmpeg_binary


def ffmpeg(*arguments):
    command = [ffmpeg_binary(), "-nostdin", "-loglevel", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


def readme_block(heading):
    """Return the commands of the first bash block under a heading of the README."""
    section = (ROOT / "README.md").read_text().partition(f"## {heading}\n")[2]
    block = section.partition("```bash\n")[2].partition("```")[0]
    return [line for line in block.splitlines() if not line.startswith("source ")]


@pytest.fixture(scope="module")
def own(tmp_path_factory, world):
    """The default project and a folder of videos: a face, no face, no video, half a video."""
    project = Project(tmp_path_factory.mktemp("own") / "project")
    lay_out(project.folder, world)
    for name in ("config/config.yaml", "config/datasets/demo.yaml"):
        shutil.copy(ROOT / name, project.folder / name)
    for name in ("manifest.csv", "splits.csv"):
        shutil.copy(ROOT / "data/demo" / name, project.folder / "data/demo" / name)
    videos = project.folder / "my-videos"
    videos.mkdir()
    face = next((world / "clips").glob("*.mp4"))
    ffmpeg("-i", face, "-c", "copy", "-movflags", "+faststart", videos / "it's a %d face 😀.mp4")
    ffmpeg("-f", "lavfi", "-i", "mandelbrot=size=224x224:rate=25", "-t", "1", videos / "none.mp4")
    (videos / "text.mp4").write_text("this is no video")
    whole = (videos / "it's a %d face 😀.mp4").read_bytes()
    (videos / "half.mp4").write_bytes(whole[: len(whole) // 2])
    commands = readme_block("Your own videos")
    assert len(commands) <= 6
    done = project.run("bash", "-euxc", "\n".join(commands))
    assert "4 clip(s) added" in done.stdout
    assert "no problems found" in done.stdout
    return project


def states(project, stage):
    folder = project.folder / "results/mine" / stage
    store = Store(sorted(folder.glob("*.parquet")))
    return {store.row(i)["clip_id"][:4]: store.row(i) for i in store}


def test_every_clip_has_its_status(own):
    frames, faces = states(own, "frames/native"), states(own, "faces/mediapipe")
    assert {i: row["status"] for i, row in frames.items()} == {
        "it-s": "ok",
        "none": "ok",
        "text": "unreadable",
        "half": "degraded",
    }
    assert {i: row["status"] for i, row in faces.items()} == {
        "it-s": "ok",
        "none": "no_face",
        "text": "skipped",
        "half": "ok",
    }
    assert np.mean(faces["it-s"]["valid"]) >= 0.95
    assert frames["half"]["decoded_frames"] < frames["half"]["declared_frames"]


def test_the_report_tells_what_was_found(own):
    page = (own.folder / "results/mine/report/index.html").read_text()
    for word in ("no_face", "unreadable", "degraded", "mine"):
        assert word in page
    assert "it&#39;s a %d face" in page or "it-s-a" in page


def test_importing_again_adds_only_what_is_new(own):
    videos = own.folder / "my-videos"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x64:rate=5", "-t", "1", videos / "zz.mp4")
    printed = own.expressway("import", "folder", videos, "--name", "mine").stdout
    assert "1 clip(s) added, 4 stood there already" in printed
    jobs = own.jobs("results/mine/report/index.html")
    assert jobs["frames"] == 1


def test_validate_lists_what_is_missing(own):
    own.config(lambda c: c.update(datasets=["demo", "mine"]))
    (own.folder / "my-videos/none.mp4").rename(own.folder / "my-videos/moved.mp4")
    done = own.expressway("validate", check=False)
    (own.folder / "my-videos/moved.mp4").rename(own.folder / "my-videos/none.mp4")
    assert done.returncode == 1
    assert "no file 'none.mp4' under" in done.stdout
    assert "data/mine/manifest.csv, line" in done.stdout
