"""fetch loads what jobs load, with the jobs' own code, and names all that it cannot load."""

import pytest
import yaml
from project import ROOT

from expressway.commands.fetch import fetch
from expressway.core.errors import ExpresswayError
from expressway.planning import settings
from expressway.planning.plan import Plan


def plan(tmp_path, monkeypatch, **backbones):
    monkeypatch.chdir(ROOT)
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config |= {"models": {}, "evaluations": {}, "comparisons": []}
    config["prepare"] = ["text_embeddings/captions"]
    for stage, backbone in backbones.items():
        config["prepare"].append(f"{stage}/demo")
        config["stages"][stage]["demo"] = {"faces": "mediapipe", "backbone": backbone}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return Plan(settings.load(path))


def test_local_weights_are_ready(tmp_path, monkeypatch):
    assert list(fetch(plan(tmp_path, monkeypatch))) == ["stages.text_embeddings.captions: ready"]


def test_weights_that_cannot_be_had_are_named_and_the_rest_is_loaded(tmp_path, monkeypatch):
    asked = plan(tmp_path, monkeypatch, visual_features="hf-hub:nobody/has-this")
    told = []
    with pytest.raises(ExpresswayError) as error:
        told.extend(fetch(asked))
    message = str(error.value)
    assert "1 could not be loaded" in message
    assert "stages.visual_features.demo: backbone hf-hub:nobody/has-this" in message
    assert "Load it once on a machine with network access" in message


def test_a_folder_without_weights(tmp_path, monkeypatch):
    source = ROOT / "data/demo/backbone/open_clip_config.json"
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip/open_clip_config.json").write_bytes(source.read_bytes())
    asked = plan(tmp_path, monkeypatch, visual_features=f"local-dir:{tmp_path}/clip")
    with pytest.raises(ExpresswayError, match="no weights file"):
        list(fetch(asked))
