"""Coverage: lost clips are counted, and too many of them stop the run."""

import json

import pyarrow as pa
import pytest

from expressway.core import coverage
from expressway.core.errors import StoreError
from expressway.core.store import ShardWriter


def store(tmp_path, statuses):
    path = tmp_path / "00000.parquet"
    with ShardWriter(path, pa.schema([pa.field("x", pa.int32())]), {}) as writer:
        for i, status in enumerate(statuses):
            error = {} if status == "ok" else {"error_type": "E", "error_message": f"why {i}"}
            writer.write({"clip_id": f"c{i}", "status": status, **error})
    return [path]


def test_counts_and_examples(tmp_path):
    paths = store(tmp_path, ["ok", "degraded", "no_face", "no_face", "skipped"])
    found = coverage.write(paths, tmp_path / "coverage.json", 0.1, "key", "s")
    assert found == json.loads((tmp_path / "coverage.json").read_text())
    assert (found["clips"], found["usable"]) == (5, 2)
    assert found["statuses"] == {"degraded": 1, "no_face": 2, "ok": 1, "skipped": 1}
    assert found["errors"]["no_face: E"] == {
        "clips": 2,
        "examples": [["c2", "why 2"], ["c3", "why 3"]],
    }


def test_counts_outlive_the_shards(tmp_path):
    out = tmp_path / "coverage.json"
    paths = store(tmp_path, ["ok", "no_face", "degraded"])
    before = coverage.write(paths, out, 1, "key", "s")
    paths[0].unlink()
    assert coverage.write(paths, out, 1, "key", "s") == before
    states = coverage.states(out, ["c0", "c1", "c2", "c3"])
    assert {clip: state["status"] for clip, state in states.items()} == {
        "c0": "ok",
        "c1": "no_face",
        "c2": "degraded",
    }
    with pytest.raises(StoreError, match="no such shard"):
        coverage.write([tmp_path / "00001.parquet"], out, 1, "key", "s")


def test_too_many_lost_stops_from_twenty_clips_on(tmp_path):
    few = store(tmp_path, ["no_face"] * 19)
    coverage.write(few, tmp_path / "coverage.json", 0.1, "key", "s")
    many = store(tmp_path, ["ok"] * 17 + ["no_face"] * 3)
    with pytest.raises(coverage.TooManyLost, match="3 of 20 clips") as caught:
        coverage.write(many, tmp_path / "many.json", 0.1, "the key", "s")
    assert "the key allows 10%" in str(caught.value)
    assert "c17: why 17" in str(caught.value)
    assert not (tmp_path / "many.json").exists()
