"""retry computes failed rows only; what it does not compute stays bit for bit."""

import os
from dataclasses import replace

import pytest
import sample_stage

from expressway.commands.retry import FAILURES, compute, retry
from expressway.core.errors import ConfigError
from expressway.core.manifest import Clip
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.store import ShardReader

IDS = ["ok-1", "hang-1", "noface-1", "ok-2", "die-1"]


def job(tmp_path, stage, ids):
    return Job(
        stage=stage,
        config=sample_stage.SampleConfig(timeout_seconds=1.0),
        clips=[Clip(id=i, path=f"{i}.mp4") for i in ids],
        root=tmp_path,
        inputs={},
        output=tmp_path / "out.parquet",
        footer={"fingerprint": "f", "rows": "r", "program": {"expressway": "1"}},
        journal=tmp_path / "journal.sqlite",
        keys=[f"key {i}" for i in ids],
    )


def rows(path):
    reader = ShardReader(path)
    return {clip_id: reader.by_id(clip_id) for clip_id in reader.ids}


def healed(monkeypatch, **cured):
    """From now on, clips that misbehaved in these ways behave."""
    behave = sample_stage.behave
    monkeypatch.setattr(sample_stage, "behave", lambda what: what in cured or behave(what))


@pytest.mark.parametrize("stage", [sample_stage.BATCHES, sample_stage.JOURNAL])
def test_chosen_rows_are_computed_the_others_stay(tmp_path, monkeypatch, stage):
    monkeypatch.setenv("SAMPLE_CALLS", str(tmp_path / "calls"))
    ids = ["ok-1", "bug-1", "noface-1", "ok-2"]
    run(job(tmp_path, stage, ids))
    before = rows(tmp_path / "out.parquet")
    (tmp_path / "calls").write_text("")
    healed(monkeypatch, bug=True, noface=True)
    assert compute(job(tmp_path, stage, ids), [1]) == {"ok": 1}
    after = rows(tmp_path / "out.parquet")
    assert after.pop("bug-1") == {
        "clip_id": "bug-1",
        "status": "ok",
        "error_type": None,
        "error_message": None,
        "text": "bug-1 bug-1.mp4",
    }
    assert before.pop("bug-1")["status"] == "invalid"
    assert after == before
    assert list(ShardReader(tmp_path / "out.parquet").ids) == ids
    if stage.journal:
        assert (tmp_path / "calls").read_text() == "bug-1\n"
        # a grown shard takes the new answer out of the journal, not the old failure
        os.unlink(tmp_path / "out.parquet")
        run(job(tmp_path, stage, [*ids, "ok-3"]))
        assert rows(tmp_path / "out.parquet")["bug-1"]["status"] == "ok"


def test_a_row_that_fails_again_leaves_the_file_alone(tmp_path):
    run(job(tmp_path, sample_stage.PROCESSES, IDS))
    os.utime(tmp_path / "out.parquet", (1, 1))
    assert compute(job(tmp_path, sample_stage.PROCESSES, IDS), [1, 4]) == {
        "timeout": 1,
        "invalid": 1,
    }
    assert (tmp_path / "out.parquet").stat().st_mtime == 1


def test_the_footer_stays_and_notes_the_retry(tmp_path, monkeypatch):
    run(job(tmp_path, sample_stage.BATCHES, ["ok-1", "noface-1"]))
    before = ShardReader(tmp_path / "out.parquet").footer
    healed(monkeypatch, noface=True)
    later = job(tmp_path, sample_stage.BATCHES, ["ok-1", "noface-1"])
    compute(replace(later, footer={**later.footer, "program": {"expressway": "2"}}), [1])
    after = ShardReader(tmp_path / "out.parquet").footer
    assert after.pop("retried") == [{"rows": 1, "expressway": "2"}]
    assert after == before


@pytest.mark.parametrize(
    ("stage", "status", "hint"),
    [("frame", "timeout", "'frames'"), ("frames", "time", "'timeout'"), ("frames", "ok", "known:")],
)
def test_unknown_words(stage, status, hint):
    with pytest.raises(ConfigError, match=hint):
        list(retry(None, stage, [status]))


def test_usable_rows_are_no_failures():
    assert "ok" not in FAILURES
    assert "degraded" not in FAILURES
