"""Importing a table: columns are taken over or refused, never dropped."""

from pathlib import Path

import pytest

from expressway.core.config import read_yaml, validate
from expressway.core.errors import ManifestError
from expressway.core.manifest import DatasetConfig, read_manifest, read_splits
from expressway.data.importers import table
from expressway.data.importers.write import write


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    home = tmp_path / "project"
    home.mkdir()
    monkeypatch.chdir(home)


def test_labels_captions_targets_and_parts(tmp_path):
    file = tmp_path / "clips.csv"
    file.write_text(
        "path;emotion;severity;caption;part\na.mp4;joy;2.5;She smiles;train\nb.mp4;;1;;test\n"
    )
    found = table.scan(file, labels=["emotion"], targets=["severity"])
    done = write("lab", found, 64)
    config = validate(DatasetConfig, read_yaml(done.config))
    clips = read_manifest(Path(config.manifest), config)
    assert [c.captions for c in clips] == [("She smiles",), ()]
    assert [c.labels for c in clips] == [{"emotion": "joy"}, {}]
    assert [c.targets for c in clips] == [{"severity": 2.5}, {"severity": 1.0}]
    rows = read_splits(Path(config.splits), clips)
    assert [(r.clip_id, r.scheme, r.part) for r in rows] == [
        ("a", "official", "train"),
        ("b", "official", "test"),
    ]
    assert config.shard_size == 64
    assert Path(config.root) == tmp_path


def test_unknown_columns_are_refused_with_the_remedy(tmp_path):
    file = tmp_path / "clips.csv"
    file.write_text("path,mood\na.mp4,joy\n")
    with pytest.raises(ManifestError, match="name it with --label mood or --target mood"):
        table.scan(file)


def test_problems_leave_no_files_behind(tmp_path):
    file = tmp_path / "clips.csv"
    file.write_text("path,id\na.mp4,x\n../b.mp4,y\n")
    with pytest.raises(ManifestError, match="leaves the data set's root"):
        write("lab", table.scan(file), 64)
    file.write_text("path,id\na.mp4,x\nb.mp4,X\n")
    with pytest.raises(ManifestError, match="line 3: id 'X' stands already in line 2"):
        write("lab", table.scan(file), 64)
    assert not Path("config/datasets/lab.yaml").exists()
    assert not Path("data/lab/manifest.csv").exists()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_windows_files_with_a_byte_order_mark(tmp_path, newline):
    file = tmp_path / "clips.csv"
    file.write_bytes(f"path,subject{newline}ü.mp4,s1{newline}".encode("utf-8-sig"))
    assert table.scan(file).rows[0]["path"] == "ü.mp4"
