"""Paths and names from strangers stay below the root; pipes and devices block nothing."""

import os
import re
from pathlib import Path

import pytest
from decoding import decode
from PIL import Image

from expressway.core.errors import ConfigError, ManifestError, RowFailure
from expressway.core.fingerprints import HashLedger
from expressway.core.manifest import DatasetConfig, contained, path_problem, read_manifest
from expressway.data.importers import folder, list_files
from expressway.data.importers.write import write
from expressway.planning import settings
from expressway.planning.plan import Plan
from expressway.planning.settings import Settings
from expressway.planning.targets import Targets

OUTSIDE = (
    *("/etc/passwd", "../secret.mp4", "a/../../secret.mp4", "C:\\secret.mp4", "\\\\host\\share"),
    *("http://example.org/a.mp4", "concat:a|b", "a\x00b.mp4", "a\nb.mp4", ""),
)
ODD_NAMES = ("a b.mp4", "Ünï — 😀.mp4", "it's 100%.mp4", "-y.mp4", "a..b/c.mp4", "$(x).mp4")


@pytest.mark.parametrize("path", [p for p in OUTSIDE if p != "concat:a|b"])
def test_paths_that_leave_the_root_are_refused(tmp_path: Path, path: str) -> None:
    assert path_problem(path)
    with pytest.raises(RowFailure) as refused:
        contained(tmp_path, path, follow_symlinks=True)
    assert refused.value.status == "invalid"


@pytest.mark.parametrize("path", ODD_NAMES)
def test_odd_names_are_only_names(tmp_path: Path, path: str) -> None:
    assert path_problem(path) is None
    assert contained(tmp_path, path, follow_symlinks=False).is_relative_to(tmp_path)


@pytest.mark.parametrize(
    "clip_id", ["../a", "a/b", "a b", ".hidden", "-rf", "a;b", "<b>", "a\u202eb", "", "x" * 201]
)
def test_ids_are_plain_names(tmp_path: Path, clip_id: str) -> None:
    config = DatasetConfig(manifest="m.csv", root=".")
    file = tmp_path / "m.csv"
    file.write_text(f'id,path\nfine-1._A,a.mp4\n"{clip_id}",b.mp4\n')
    with pytest.raises(ManifestError, match="line 3: id .*: use letters"):
        read_manifest(file, config)
    file.write_text("id,path\nfine-1._A,a.mp4\n")
    assert read_manifest(file, config)[0].id == "fine-1._A"


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A root with a folder of two frames: one is a link to a picture beside the root."""
    root, secret = tmp_path / "root", tmp_path / "secret.png"
    (root / "clip").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(secret)
    Image.new("RGB", (4, 4)).save(root / "clip/1.png")
    (root / "clip/2.png").symlink_to(secret)
    return root


def test_a_frame_that_is_a_link_out_of_the_root_is_refused(linked: Path) -> None:
    with pytest.raises(RowFailure, match=r"'clip/2\.png' is a link out of the data set's root"):
        contained(linked, "clip", follow_symlinks=False)
    assert contained(linked, "clip", follow_symlinks=True) == linked.resolve() / "clip"


def test_links_inside_the_root_are_followed(linked: Path) -> None:
    (linked / "clip/2.png").unlink()
    (linked / "clip/2.png").symlink_to(linked / "clip/1.png")
    assert contained(linked, "clip", follow_symlinks=False) == linked.resolve() / "clip"


def test_pipes_are_neither_hashed_nor_decoded(tmp_path: Path) -> None:
    """Opening one would wait for ever, at the start of every run."""
    os.mkfifo(tmp_path / "clip.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "good.png")
    ledger = HashLedger(tmp_path / "ledger.json")
    assert ledger.sha256(tmp_path / "clip.png") is None
    assert len(ledger.sha256(tmp_path / "good.png") or "") == 64
    with pytest.raises(RowFailure, match="found something else"):
        decode(tmp_path / "clip.png", "image")
    assert decode(tmp_path / "good.png", "image").width == 4


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project as the working folder, with one video two levels below it."""
    (tmp_path / "project/videos").mkdir(parents=True)
    (tmp_path / "project/videos/a.mp4").write_bytes(b"a")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/b", ".a", "a;b", "$(b)", "a b", ""])
def test_data_sets_are_written_into_their_own_folder_only(project: Path, name: str) -> None:
    found = folder.scan(Path("videos"), "video")
    with pytest.raises(ManifestError, match="--name .*: use letters"):
        write(name, found, 256)
    assert sorted(p.name for p in project.rglob("*") if p.is_file()) == ["a.mp4"]
    assert write("mine_2-b", found, 256).added == 1


def test_lists_that_climb_out_of_the_root_write_nothing(project: Path) -> None:
    secret = project / "secret/00001"
    secret.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(secret / "1.png")
    Path("DFEW_set_1_train.txt").write_text("../../secret/00001 1 0\n")
    found = list_files.scan([Path("DFEW_set_1_train.txt")], Path("videos"))
    with pytest.raises(ManifestError, match="leaves the data set's root"):
        write("climbing", found, 256)
    assert not Path("data").exists()


HOSTILE_NAMES = ("x; touch pwned", "$(touch pwned)", "`id`", "../x", "a b", "a/b", "-rf", "<b>", "")


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_reach_a_command_line_are_plain(name: str) -> None:
    """Names of data sets, variants, models, evaluations and tables become words of commands."""
    model = {"method": "clip", "dataset": "d", "protocol": "zero_shot", "stores": {}}
    evaluation = {"protocol": "zero_shot", "models": [], "dataset": "d", "prompts": "p"}
    base = {"datasets": [], "stages": {}}
    for config in (
        {"datasets": [name]},
        {"tables": [name]},
        {"prepare": [f"frames/{name}"]},
        {"stages": {"frames": {name: {}}}},
        {"models": {name: model}},
        {"evaluations": {name: evaluation}},
    ):
        with pytest.raises(ConfigError, match=next(iter(config))):
            settings.check(base | config, "config")


def test_plain_names_are_taken() -> None:
    stages = {"frames": {"native-2_b": {}}}
    found = settings.check({"datasets": ["my-set_2"], "stages": stages}, "config")
    assert isinstance(found, Settings)


def test_a_hostile_file_among_the_tables_widens_no_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config/tables").mkdir(parents=True)
    for name in ("good", "a|.*", "b;c"):
        (tmp_path / "config/tables" / f"{name}.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    pattern = Targets(Plan(settings.check({"datasets": [], "stages": {}}, "c"))).table_pattern
    assert re.fullmatch(pattern, "good")
    assert not re.fullmatch(pattern, "anything")
