"""Configuration: problems are listed together, with key path, allowed values, nearest name."""

from typing import Literal

import pytest
from pydantic import Field

from expressway.core.config import StrictModel, nearest, read_yaml, validate
from expressway.core.errors import ConfigError


class Inner(StrictModel):
    threshold: float = 0.5
    mode: Literal["hold", "drop"] = "hold"


class Outer(StrictModel):
    name: str
    variants: dict[str, Inner] = Field(default_factory=dict)


def test_all_problems_at_once_with_path_and_hint():
    data = {"nme": "x", "variants": {"a": {"treshold": 1, "mode": "hld"}, "b": {"threshold": "x"}}}
    with pytest.raises(ConfigError) as caught:
        validate(Outer, data, "config.yaml")
    lines = str(caught.value).splitlines()
    assert "config.yaml.name: this key is required and missing" in lines
    assert any("nme: unknown key; did you mean 'name'?" in line for line in lines)
    assert any("variants.a.treshold: unknown key; did you mean 'threshold'?" in x for x in lines)
    assert any("variants.a.mode: 'hld' is not allowed; did you mean 'hold'?" in x for x in lines)
    assert any("variants.b.threshold" in line and "'x'" in line for line in lines)
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [("- a\n", "expected key: value pairs"), ("a: [", "not readable as YAML"), (None, "no such")],
)
def test_odd_files_are_named(tmp_path, text, expected):
    path = tmp_path / "c.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=expected) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value)


def test_yaml_cannot_build_objects(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("a: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        read_yaml(path)


def test_nearest_is_silent_when_nothing_is_near():
    assert nearest("qqqq", ["faces", "frames"]) == ""
