"""The rooms of the package: the drawing in CONTRIBUTING.md is the contract that is checked."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/expressway"
DOORWAYS = {"__init__.py", "__main__.py", "cli.py"}


def test_the_drawing_is_the_contract():
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    layers = tools["importlinter"]["contracts"][0]["layers"]
    drawn = re.search(r"```\n(cli\n.*?)\n```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert drawn is not None
    assert drawn[1].splitlines() == layers
    names = {name for layer in layers for name in layer.split(" | ")}
    found = {path.stem for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert names == found - {"__init__", "__main__"}


def test_the_root_holds_doorways_and_rooms_only():
    entries = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert len(entries - DOORWAYS) <= 12


def test_no_file_is_longer_than_four_hundred_lines():
    long = [p for p in PACKAGE.rglob("*.py") if len(p.read_text("utf-8").splitlines()) > 400]
    assert long == []
