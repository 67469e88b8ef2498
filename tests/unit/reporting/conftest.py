"""The small world of the reporting tests as fixtures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_world import COMPARISON, LABELS, World, clip

from expressway.core.files import write_json
from expressway.core.manifest import Clip


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Sixteen clips of four people and four labels, stores written, one clip without a face."""
    made = World(tmp_path, [clip(index) for index in range(16)], lost={"clip-005"})
    made.write_stores()
    return made


@pytest.fixture
def evaluated(world: World) -> World:
    """The world with two models over two folds, a comparison, a model file and benchmarks."""

    def often_right(one: Clip) -> str | None:
        if one.id in world.lost:
            return None
        return "neutral" if one.id.endswith(("3", "8")) else one.labels["emotion"]

    for fold, clips in (("fold1", world.clips[:8]), ("fold2", world.clips[8:])):
        world.write_evaluation("emoclip", fold, clips, often_right)
    folds = ["fold1"] * 8 + ["fold2"] * 8
    world.write_evaluation("clip", "all", world.clips, lambda one: "neutral", folds)
    comparison = world.root / "results/comparisons/emoclip--clip.json"
    write_json(comparison, COMPARISON)
    world.comparisons.append(comparison)
    model = world.root / "results/models/emoclip/fold1-seed0/model.json"
    history = [{"epoch": e, "contrastive": 2 / e, "learning_rate": 0.1} for e in (1, 2, 3)]
    facts = {"method": "emoclip", "labels": LABELS, "backbone": {"sha256": "ab" * 32}}
    write_json(model, {**facts, "history": history})
    world.models.append(model)
    world.write_benchmark("prepare_frames", ("12.5", "310.2"), ("7.5", "290.0"))
    world.write_benchmark("evaluate", ("61", "-"))
    return world


@pytest.fixture
def read_json() -> Callable[[Path], Any]:
    return lambda path: json.loads(path.read_text())
