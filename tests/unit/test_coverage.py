"""Coverage: lost clips are counted, and too many of them stop the run."""

import json

import pyarrow as pa
import pytest

from expressway import coverage
from expressway.store import ShardWriter


def store(tmp_path, statuses):
    path = tmp_path / "00000.parquet"
    with ShardWriter(path, pa.schema([pa.field("x", pa.int32())]), {}) as writer:
        for i, status in enumerate(statuses):
            error = {} if status == "ok" else {"error_type": "E", "error_message": f"why {i}"}
            writer.write({"clip_id": f"c{i}", "status": status, **error})
    return [path]


def test_counts_and_examples(tmp_path):
    paths = store(tmp_path, ["ok", "degraded", "no_face", "no_face", "skipped"])
    found = coverage.write(paths, tmp_path / "coverage.json", 0.1, "key")
    assert found == json.loads((tmp_path / "coverage.json").read_text())
    assert (found["clips"], found["usable"]) == (5, 2)
    assert found["statuses"] == {"degraded": 1, "no_face": 2, "ok": 1, "skipped": 1}
    assert found["errors"]["no_face: E"] == {
        "clips": 2,
        "examples": [["c2", "why 2"], ["c3", "why 3"]],
    }


def test_too_many_lost_stops_from_twenty_clips_on(tmp_path):
    few = store(tmp_path, ["no_face"] * 19)
    coverage.write(few, tmp_path / "coverage.json", 0.1, "key")
    many = store(tmp_path, ["ok"] * 17 + ["no_face"] * 3)
    with pytest.raises(coverage.TooManyLost, match="3 of 20 clips") as caught:
        coverage.write(many, tmp_path / "many.json", 0.1, "the key")
    assert "the key allows 10%" in str(caught.value)
    assert "c17: why 17" in str(caught.value)
    assert not (tmp_path / "many.json").exists()
