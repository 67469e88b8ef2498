"""What a run would cost: measured rates where there are any, the demo's, or an honest blank."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from expressway import estimates, schema
from expressway.estimates import DEMO, HERE, UNKNOWN
from expressway.plan import Plan, narrowed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plan(tmp_path, monkeypatch) -> Plan:
    """The demo's plan in an empty folder: nothing is there yet."""
    monkeypatch.chdir(tmp_path)
    for name in ("config", "data"):
        Path(name).symlink_to(ROOT / name)
    return Plan(schema.check(yaml.safe_load(Path("config/config.yaml").read_text()), "config"))


def benchmark(path: Path, seconds: float, cpu: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\tcpu_time\n{seconds}\t{cpu}\n")


def by_name(costs: list[estimates.Cost]) -> dict[str, estimates.Cost]:
    return {cost.what: cost for cost in costs}


def test_an_unmeasured_store_takes_the_demos_rate(plan) -> None:
    cost = by_name(estimates.stores(plan))["demo: frames/native"]
    assert (cost.jobs, cost.done, cost.source) == (2, 0, DEMO)
    assert cost.hours == pytest.approx(0.049 * 440 / 3600)


def test_finished_shards_set_the_rate_of_the_rest(plan) -> None:
    shard = Path("results/demo/frames/native/00000.parquet")
    shard.parent.mkdir(parents=True)
    pq.write_table(pa.table({"clip_id": [str(n) for n in range(220)]}), shard)
    benchmark(Path("logs/benchmarks/demo/frames/native/00000.tsv"), 20.0, "22.0")
    cost = by_name(estimates.stores(plan))["demo: frames/native"]
    assert (cost.jobs, cost.done, cost.source) == (2, 1, HERE)
    assert cost.hours == pytest.approx(0.1 * 220 / 3600)
    assert cost.gigabytes == pytest.approx(shard.stat().st_size / 220 * 220 / 1e9)


def test_models_nobody_trained_are_not_guessed(plan) -> None:
    found = by_name(estimates.models(plan))
    assert (found["model linear"].hours, found["model linear"].source) == (None, UNKNOWN)
    # a job too short to be sampled has no CPU time: its wall time counts
    benchmark(Path("logs/benchmarks/models/linear/fold1-seed0.tsv"), 7.2, "NA")
    assert by_name(estimates.models(plan))["model linear"].hours == pytest.approx(5 * 7.2 / 3600)
    assert "model emoclip" in estimates.describe(plan).split("not measured yet:")[1]


def test_a_table_needs_its_own_models_and_stores_only(plan, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    row = {"title": "CLIP", "cells": {"Demo": "clip/names"}}
    (folder / "mine.yaml").write_text(yaml.safe_dump({"title": "Mine", "rows": [row]}))
    monkeypatch.setattr(schema, "TABLES", folder)
    chosen = narrowed(plan, "mine")
    assert list(chosen.settings.models) == ["clip"]
    assert chosen.settings.evaluations["names"].models == ["clip"]
    stores = {f"{stage}/{variant}" for stage, variant in chosen.stores("demo")}
    assert stores == {"frames/native", "faces/mediapipe", "visual_features/demo"}
    assert "captions" not in estimates.describe(plan, "mine")
