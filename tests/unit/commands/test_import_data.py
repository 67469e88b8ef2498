"""The commands: what is printed, and that validation agrees with what was imported."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from official_layouts import LAYOUTS, hesp_lists


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """Every test runs in a project folder of its own."""
    home = tmp_path / "project"
    home.mkdir()
    monkeypatch.chdir(home)
    return home


def expressway(*arguments):
    command = [sys.executable, "-m", "expressway", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def configure(*names):
    config = {"datasets": list(names), "stages": {}}
    Path("config/config.yaml").write_text(yaml.safe_dump(config))


def test_every_layout_passes_validation(tmp_path):
    for name, generate in LAYOUTS.items():
        generate(tmp_path / name)
        done = expressway("import", name, "--root", tmp_path / name)
        assert done.returncode == 0, done.stderr
        assert f"data set: config/datasets/{name}.yaml" in done.stdout
        assert "warning: " in done.stderr
        assert "published numbers: " in done.stderr
    configure(*LAYOUTS)
    done = expressway("validate")
    assert (done.stdout, done.returncode) == ("no problems found\n", 0)


def test_validation_names_what_is_missing(tmp_path):
    truth = LAYOUTS["mafw"](tmp_path / "m")
    lists, _ = hesp_lists(tmp_path, truth)
    (tmp_path / "m" / truth["00004"].path).unlink()
    hesp = [word for path in lists for word in ("--hesp", path)]
    done = expressway("import", "mafw", "--root", tmp_path / "m", "--name", "mine", *hesp)
    assert "not in data/clips: 1 of 36 listed clips (00004); their rows are kept" in done.stderr
    configure("mine")
    done = expressway("validate")
    assert done.returncode == 1
    assert "line 5: no file 'data/clips/00004.mp4' under" in done.stdout


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_odd_folder_is_an_error_without_traceback(name, tmp_path):
    done = expressway("import", name, "--root", tmp_path / "project")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "expected below it" in done.stderr
    assert not Path("config").exists()
