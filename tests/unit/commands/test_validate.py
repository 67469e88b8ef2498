"""Validation tells what parts of a split share, and finds look-alikes in the faces' store."""

from pathlib import Path

import pytest
import yaml
from official_layouts import LAYOUTS, frames

from expressway.commands import validate
from expressway.commands.report import report
from expressway.commands.stage import run_stage
from expressway.core.errors import ConfigError
from expressway.data.importers import ferv39k
from expressway.data.importers.write import write
from expressway.planning.plan import Plan
from expressway.planning.settings import load


@pytest.fixture
def config(tmp_path, monkeypatch):
    """FERV39k's layout, with one test clip that is a copy of a training clip."""
    (tmp_path / "project/config/prompts").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project")
    LAYOUTS["ferv39k"](tmp_path / "f")
    frames(tmp_path / "f/2_ClipsforFaceCrop/Action/Happy/0000", 1, 2)
    write("f", ferv39k.scan(tmp_path / "f"), 256)
    stages = {
        "frames": {"native": {}},
        "faces": {"cropped": {"frames": "native", "align": "as_is"}},
    }
    path = Path("config/config.yaml")
    path.write_text(yaml.safe_dump({"datasets": ["f"], "stages": stages}))
    return path


def test_copies_are_told_by_content_and_by_look(config):
    same = "data/f/splits.csv: official: 1 file(s) with the same content in test and train: "
    assert validate.problems(config) == []
    assert validate.overlaps(config) == [f"{same}Action--Happy--0000 = DailyLife--Sad--0001"]
    plan = Plan(load(config))
    for stage, variant in (("frames", "native"), ("faces", "cropped")):
        run_stage(plan, "f", stage, variant, "00000", 1, 0)
    told = validate.overlaps(config, look_alikes=True)
    assert told[1:] == [
        "data/f/splits.csv: official: 1 pair(s) of clips that look alike in test and "
        "train: Action--Happy--0000 ~ DailyLife--Sad--0001"
    ]
    page = report(plan, Path("report.html"), "f").read_text()
    assert "Action--Happy--0000 = DailyLife--Sad--0001" in page
    assert "Action--Happy--0000 ~ DailyLife--Sad--0001" in page


def test_imported_sets_are_checked_before_any_configuration_names_them(config):
    config.write_text("datasets: []\nstages: {}\n")
    assert len(validate.overlaps(config)) == 1
    clip = Path("../f/2_ClipsforFaceCrop/Action/Happy/0000")
    clip.rename(clip.with_name("away"))
    (line,) = validate.problems(config)
    assert "data/f/manifest.csv, line 5: no file '2_ClipsforFaceCrop/Action/Happy/0000'" in line


def test_look_alikes_take_a_finished_store_of_faces(config):
    with pytest.raises(ConfigError, match="no store of faces is finished"):
        validate.overlaps(config, look_alikes=True)
