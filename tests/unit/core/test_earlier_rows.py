"""A shard that is made again takes over the rows that are made of the same."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import sample_stage

from expressway.core.manifest import Clip
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.stage import Source
from expressway.core.store import ShardReader


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """The clips that were computed since the last look."""
    path = tmp_path / "calls.txt"
    monkeypatch.setenv("SAMPLE_CALLS", str(path))

    def computed():
        found = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return found

    return computed


def job(tmp_path, ids, version="1", shard="00000", store=(), inputs=None):
    return Job(
        stage=sample_stage.COUNTING,
        config=sample_stage.SampleConfig(),
        clips=[Clip(i, f"{i}.mp4", "video") for i in ids],
        root=tmp_path,
        inputs=inputs or {},
        output=tmp_path / "store" / f"{shard}.parquet",
        footer={},
        keys=[f"{version}-{i}" for i in ids],
        store=[tmp_path / "store" / f"{each}.parquet" for each in store],
    )


def rows(tmp_path, shard="00000"):
    reader = ShardReader(tmp_path / "store" / f"{shard}.parquet")
    return {clip: reader.row(index) for index, clip in enumerate(reader.ids)}


def test_one_clip_more_costs_one_row(tmp_path, calls, capfd):
    run(job(tmp_path, ["ok-1", "noface-2", "ok-3"]))
    before = rows(tmp_path)
    assert calls() == ["ok-1", "noface-2", "ok-3", "ok-1", "noface-2", "ok-3"]
    run(job(tmp_path, ["ok-1", "noface-2", "ok-3", "ok-4"]))
    assert calls() == ["ok-4"]
    assert "3 taken over, 1 computed" in capfd.readouterr().err
    after = rows(tmp_path)
    assert {clip: after[clip] for clip in before} == before


@pytest.mark.parametrize(
    "ids", [["ok-3", "ok-1"], ["ok-3", "ok-2", "ok-1"]], ids=["removed", "another order"]
)
def test_a_removed_clip_and_another_order_cost_nothing(tmp_path, calls, ids):
    run(job(tmp_path, ["ok-1", "ok-2", "ok-3"]))
    calls()
    run(job(tmp_path, ids))
    assert calls() == []
    assert list(rows(tmp_path)) == ids


def test_the_file_is_that_of_a_first_run(tmp_path, calls):
    run(job(tmp_path, ["ok-1", "noface-2"]))
    run(job(tmp_path, ["ok-1", "noface-2", "ok-3"]))
    grown = (tmp_path / "store/00000.parquet").read_bytes()
    (tmp_path / "store/00000.parquet").unlink()
    run(job(tmp_path, ["ok-1", "noface-2", "ok-3"]))
    assert (tmp_path / "store/00000.parquet").read_bytes() == grown


def test_rows_that_moved_to_another_shard_are_found(tmp_path, calls):
    run(job(tmp_path, ["ok-1", "ok-2"]))
    run(job(tmp_path, ["ok-3", "ok-4"], shard="00001"))
    calls()
    run(job(tmp_path, ["ok-2", "ok-3"], store=["00001"]))
    assert calls() == []


def test_another_fingerprint_computes_all(tmp_path, calls):
    run(job(tmp_path, ["ok-1", "ok-2"]))
    calls()
    run(job(tmp_path, ["ok-1", "ok-2"], version="2"))
    assert calls() == ["ok-1", "ok-2"]


def test_a_row_whose_upstream_row_changed_is_computed(tmp_path, calls):
    above = tmp_path / "above"
    inputs = {"frames": Source(path=above / "store/00000.parquet")}
    run(job(above, ["ok-1", "ok-2"]))
    run(job(tmp_path, ["ok-1", "ok-2"], inputs=inputs))
    calls()
    run(job(above, ["ok-1", "ok-2"], version="2"))
    calls()
    run(job(tmp_path, ["ok-1", "ok-2"], inputs=inputs))
    assert calls() == []  # it came out the same
    changed = [Clip("ok-1", "other.mp4", "video"), Clip("ok-2", "ok-2.mp4", "video")]
    run(replace(job(above, ["ok-1", "ok-2"], version="3"), clips=changed))
    calls()
    run(job(tmp_path, ["ok-1", "ok-2"], inputs=inputs))
    assert calls() == ["ok-1"]


def test_a_damaged_shard_is_computed_anew(tmp_path, calls):
    run(job(tmp_path, ["ok-1"]))
    calls()
    (tmp_path / "store/00000.parquet").write_bytes(b"PAR1")
    run(job(tmp_path, ["ok-1"]))
    assert calls() == ["ok-1"]
    assert pq.ParquetFile(tmp_path / "store/00000.parquet").metadata.num_rows == 1
