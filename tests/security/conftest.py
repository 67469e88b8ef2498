"""What the security tests share: a copy of the demo's backbone, and the reporting tests' world."""

import shutil
from pathlib import Path

import pytest
from report_world import World, clip

ROOT = Path(__file__).parents[2]


@pytest.fixture
def backbone_folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "data/demo/backbone", tmp_path / "backbone"))


@pytest.fixture
def reported(tmp_path: Path) -> World:
    """Sixteen clips of four people and four labels, with stores."""
    made = World(tmp_path, [clip(index) for index in range(16)], lost={"clip-005"})
    made.write_stores()
    return made
