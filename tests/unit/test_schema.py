"""The configuration as a whole: generated files do not drift, references lead somewhere."""

from pathlib import Path

import pytest
import yaml

from expressway import manual, schema
from expressway.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings():
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


def test_the_default_configuration_is_valid(settings):
    schema.check(settings, "config.yaml")


def test_the_committed_schema_is_the_generated_one():
    assert (ROOT / "config/config.schema.json").read_text() == schema.json_schema(), "make schema"


def test_the_manual_lists_every_key():
    page = ROOT / "config/README.md"
    assert page.read_text() == manual.rewrite(page), "make schema"


def test_every_key_is_explained():
    lines = manual.tables().splitlines()
    assert [line for line in lines if line.endswith("|  |")] == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: c["stages"]["faces"]["mediapipe"].update(frames="natve"), "'native'?"),
        (lambda c: c["models"]["linear"].update(stores={"visual_features": "x"}), "known: demo"),
        (lambda c: c["evaluations"]["names"].update(models=["clp"]), "did you mean 'clip'?"),
        (lambda c: c["comparisons"].append({"a": "clip/x", "b": "clip/names"}), "no 'clip/x'"),
        (lambda c: c["prepare"].append("landmark/mediapipe"), "did you mean 'landmarks'?"),
        (lambda c: c.update(modls={}), "unknown key; did you mean 'models'?"),
        (lambda c: c["evaluations"]["names"].update(prompts=None), "needs a class prompt set"),
    ],
)
def test_names_that_lead_nowhere_are_found_before_any_job(settings, change, expected):
    change(settings)
    with pytest.raises(ConfigError) as caught:
        schema.check(settings, "config.yaml")
    assert expected in str(caught.value)
    assert all(line.startswith("config.yaml: ") for line in str(caught.value).splitlines())
