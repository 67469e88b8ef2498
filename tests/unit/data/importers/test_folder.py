"""Importing a folder: every file becomes a row, odd names keep working, rows are only appended."""

import subprocess
from pathlib import Path

import pytest

from expressway.core.config import read_yaml, validate
from expressway.core.errors import ManifestError
from expressway.core.manifest import DatasetConfig, read_manifest
from expressway.core.subprocesses import ffmpeg_binary
from expressway.data.importers import folder
from expressway.data.importers.write import write


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    home = tmp_path / "project"
    home.mkdir()
    monkeypatch.chdir(home)


def make(tmp_path, *names):
    root = tmp_path / "videos"
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def manifest(name):
    config = validate(DatasetConfig, read_yaml(Path(f"config/datasets/{name}.yaml")))
    return read_manifest(Path(config.manifest), config)


def test_rows_follow_the_paths_and_carry_hashes(tmp_path):
    root = make(tmp_path, "b.mp4", "a/x.MOV", "note.txt", ".hidden/y.mp4")
    done = write("mine", folder.scan(root), 256)
    clips = manifest("mine")
    assert (done.added, done.kept) == (2, 0)
    assert [(c.id, c.path, c.kind) for c in clips] == [
        ("a--x", "a/x.MOV", "video"),
        ("b", "b.mp4", "video"),
    ]
    assert all(len(c.sha256) == 64 for c in clips)


def test_odd_names_get_safe_ids_and_stay_apart(tmp_path):
    names = [
        "a b.mp4",
        "a-b.mp4",
        "A-B.mp4",
        "-x.mp4",
        "%d.mp4",
        "😀.mp4",
        "x.mp4",
        "x.avi",
        "é.mp4",
    ]
    write("mine", folder.scan(make(tmp_path, *names)), 256)
    clips = manifest("mine")
    assert sorted(c.path for c in clips) == sorted(names)
    assert len({c.id.lower() for c in clips}) == len(names)


def test_importing_again_appends_and_keeps_order(tmp_path):
    root = make(tmp_path, "b.mp4", "c.mp4")
    write("mine", folder.scan(root), 256)
    before = Path("data/mine/manifest.csv").read_text()
    make(tmp_path, "a.mp4")
    done = write("mine", folder.scan(root), 256)
    after = Path("data/mine/manifest.csv").read_text()
    assert (done.added, done.kept) == (1, 2)
    assert after.startswith(before)
    assert [c.id for c in manifest("mine")] == ["b", "c", "a"]


def test_labels_from_folders(tmp_path):
    root = make(tmp_path, "happy/1.mp4", "sad/1.mp4")
    write("mine", folder.scan(root, label="emotion"), 256)
    assert [c.labels["emotion"] for c in manifest("mine")] == ["happy", "sad"]
    config = read_yaml(Path("config/datasets/mine.yaml"))
    assert config["labels"] == {"emotion": ["happy", "sad"]}


def test_folders_of_frames_and_images(tmp_path):
    root = make(tmp_path, "c1/1.jpg", "c1/2.jpg", "c2/1.png")
    assert [r["path"] for r in folder.scan(root, "frames").rows] == ["c1", "c2"]
    assert len(folder.scan(root, "image").rows) == 3


@pytest.mark.parametrize("kind", ["video", "image", "frames"])
def test_nothing_found_says_what_was_expected(tmp_path, kind):
    with pytest.raises(ManifestError, match=f"no {kind} found"):
        folder.scan(make(tmp_path, "note.txt"), kind)


def test_missing_folder(tmp_path):
    with pytest.raises(ManifestError, match="no such folder"):
        folder.scan(tmp_path / "nowhere")


def test_long_recordings_are_cut_and_keep_their_video(tmp_path):
    root = make(tmp_path, "text.mp4")
    source = "testsrc=size=64x64:rate=10"
    command = [ffmpeg_binary(), "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", source]
    subprocess.run([*command, "-t", "5", str(root / "long.mp4")], check=True)
    write("mine", folder.scan(root, segment=2.0), 256)
    clips = manifest("mine")
    assert [(c.id, c.video, c.start, c.end) for c in clips] == [
        ("long-0000", "long", 0.0, 2.0),
        ("long-0001", "long", 2.0, 4.0),
        ("long-0002", "long", 4.0, 5.0),
        ("text", "text", None, None),
    ]
