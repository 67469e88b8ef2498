"""What a run would cost: measured rates where there are any, the demo's, or an honest blank."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from expressway import stages
from expressway.core.manifest import Clip
from expressway.core.store import write_table
from expressway.planning import costs as estimates
from expressway.planning import settings
from expressway.planning.costs import HERE, SHIPPED, UNKNOWN
from expressway.planning.outputs import Outputs
from expressway.planning.plan import Plan, narrowed
from expressway.planning.records import MADE_OF

ROOT = Path(__file__).parents[3]


@pytest.fixture
def plan(tmp_path, monkeypatch) -> Plan:
    """The demo's plan in an empty folder: nothing is there yet."""
    monkeypatch.chdir(tmp_path)
    for name in ("config", "data"):
        Path(name).symlink_to(ROOT / name)
    return Plan(settings.check(yaml.safe_load(Path("config/config.yaml").read_text()), "config"))


def benchmark(path: Path, seconds: float, cpu: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\tcpu_time\n{seconds}\t{cpu}\n")


def finished(plan, stage: str, variant: str, device: str) -> None:
    """Write the first shard of a store, as a job would."""
    outputs = Outputs(plan)
    shard = outputs.shard("demo", stage, variant, "00000")
    table = pa.table({"clip_id": [str(n) for n in range(220)]})
    write_table(Path(shard.path), table, {"device": device, MADE_OF: outputs.record(shard)})


def by_name(costs: list[estimates.Cost]) -> dict[str, estimates.Cost]:
    return {cost.what: cost for cost in costs}


def test_an_unmeasured_store_takes_the_shipped_rate(plan) -> None:
    cost = by_name(estimates.stores(plan))["demo: frames/native"]
    assert (cost.jobs, cost.done, cost.source) == (2, 0, SHIPPED)
    assert cost.hours == pytest.approx(0.049 * 440 / 3600)


def test_finished_shards_set_the_rate_of_the_rest(plan) -> None:
    shard = Path("results/demo/frames/native/00000.parquet")
    finished(plan, "frames", "native", "cpu")
    benchmark(Path("logs/benchmarks/demo/frames/native/00000.tsv"), 20.0, "22.0")
    cost = by_name(estimates.stores(plan))["demo: frames/native"]
    assert (cost.jobs, cost.done, cost.source) == (2, 1, HERE)
    assert cost.hours == pytest.approx(0.1 * 220 / 3600)
    assert cost.gigabytes == pytest.approx(shard.stat().st_size / 220 * 220 / 1e9)


def test_a_store_begun_on_a_gpu_tells_gpu_hours(plan) -> None:
    finished(plan, "visual_features", "demo", "cuda")
    benchmark(Path("logs/benchmarks/demo/visual_features/demo/00000.tsv"), 11.0, "33.0")
    cost = by_name(estimates.stores(plan))["demo: visual_features/demo"]
    assert (cost.hours, cost.gpu_hours) == pytest.approx((33.0 / 3600, 11.0 / 3600))
    line = next(x for x in estimates.describe(plan).splitlines() if "visual_features/demo" in x)
    assert line.split()[4:6] == ["0.01", "0.00"]


@pytest.mark.parametrize(
    ("stage", "values", "expected"),
    [
        ("visual_features", {"backbone": "ViT-L-14/openai"}, SHIPPED),
        ("visual_features", {"backbone": "ViT-H-14/laion2b_s32b_b79k"}, UNKNOWN),
        ("captions", {}, SHIPPED),
        ("captions", {"captioner": "transformers", "transformers": {"model": "big"}}, UNKNOWN),
        ("faces", {"detector": "insightface"}, UNKNOWN),
    ],
)
def test_a_rate_is_that_of_the_same_network(plan, stage, values, expected) -> None:
    config = stages.get(stage).config(**values)
    assert estimates.store_rate("demo", stage, "mine", config).source == expected


def test_an_image_costs_a_frame(plan) -> None:
    rate = estimates.Rate(1.0, 1.0, SHIPPED)
    clips = [Clip(id="a", path="a.png", kind="image"), Clip(id="b", path="b.mp4")]
    assert estimates._clips(clips, rate) == pytest.approx(1 + 1 / estimates.RATED_FRAMES)
    assert estimates._clips(clips, replace(rate, source=HERE)) == 2


def test_models_nobody_trained_are_not_guessed(plan) -> None:
    found = by_name(estimates.models(plan))
    assert (found["model linear"].hours, found["model linear"].source) == (None, UNKNOWN)
    # a job too short to be sampled has no CPU time: its wall time counts
    benchmark(Path("logs/benchmarks/models/linear/fold1-seed0.tsv"), 7.2, "NA")
    assert by_name(estimates.models(plan))["model linear"].hours == pytest.approx(5 * 7.2 / 3600)
    assert "line(s) are not measured" in estimates.describe(plan)


def test_a_table_needs_its_own_models_and_stores_only(plan, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    row = {"title": "CLIP", "cells": {"Demo": "clip/names"}}
    (folder / "mine.yaml").write_text(yaml.safe_dump({"title": "Mine", "rows": [row]}))
    monkeypatch.setattr(settings, "TABLES", folder)
    chosen = narrowed(plan, "mine")
    assert list(chosen.settings.models) == ["clip"]
    assert chosen.settings.evaluations["names"].models == ["clip"]
    stores = {f"{stage}/{variant}" for stage, variant in chosen.stores.of_dataset("demo")}
    assert stores == {"frames/native", "faces/mediapipe", "visual_features/demo"}
    assert "captions" not in estimates.describe(plan, "mine")
