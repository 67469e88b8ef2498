"""The stage runner: rows out == rows in, in order, whatever single clips do."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import sample_stage

from expressway.core import runner
from expressway.core.errors import StoreError, SystemicError
from expressway.core.manifest import Clip
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.stage import Source
from expressway.core.store import ShardReader


def job(tmp_path, stage, ids, cores=2, inputs=None, name="out"):
    return Job(
        stage=stage,
        config=sample_stage.SampleConfig(),
        clips=[Clip(id=i, path=f"{i}.mp4") for i in ids],
        root=tmp_path,
        inputs=inputs or {},
        output=tmp_path / f"{name}.parquet",
        footer={"variant": "v", "fingerprint": "f", "rows": "r"},
        cores=cores,
    )


def states(tmp_path, name="out"):
    reader = ShardReader(tmp_path / f"{name}.parquet")
    return [(state["clip_id"], state["status"], state["error_type"]) for state in reader.states]


def test_a_clip_that_kills_hangs_or_raises_costs_one_row(tmp_path):
    ids = ["ok-1", "die-1", "ok-2", "hang-1", "noface-1", "bug-1", "ok-3", "die-2", "ok-4"]
    counts = run(job(tmp_path, sample_stage.PROCESSES, ids))
    assert states(tmp_path) == [
        ("ok-1", "ok", None),
        ("die-1", "invalid", "WorkerDied"),
        ("ok-2", "ok", None),
        ("hang-1", "timeout", "WorkerStopped"),
        ("noface-1", "no_face", "RowFailure"),
        ("bug-1", "invalid", "KeyError"),
        ("ok-3", "ok", None),
        ("die-2", "invalid", "WorkerDied"),
        ("ok-4", "ok", None),
    ]
    assert counts == {"ok": 4, "invalid": 3, "timeout": 1, "no_face": 1}
    reader = ShardReader(tmp_path / "out.parquet")
    assert reader.by_id("ok-2")["text"] == "ok-2 ok-2.mp4"
    assert reader.footer["fingerprint"] == "f"
    assert reader.footer["packages"]["numpy"]


def small_files(tmp_path, ids):
    for i in ids:
        (tmp_path / f"{i}.mp4").write_bytes(b"x")


def together(rows):
    return replace(sample_stage.PROCESSES, rows=rows)


def test_in_a_call_of_several_rows_a_clip_that_kills_or_hangs_costs_one_row(tmp_path):
    kinds = ["ok", "die", "ok", "hang", "ok", "noface", "ok", "bug", *["ok", "ok"] * 28]
    ids = [f"{kind}-{number}" for number, kind in enumerate(kinds * 4)]
    ids = [
        i if number < 8 or not i.startswith("hang") else "ok" + i for number, i in enumerate(ids)
    ]
    small_files(tmp_path, ids)
    assert max(map(len, runner._calls(job(tmp_path, together(4), ids), range(len(ids)), 2))) == 4
    run(job(tmp_path, together(4), ids))
    named = {"die": "invalid", "hang": "timeout", "noface": "no_face", "bug": "invalid"}
    assert [(i, s) for i, s, _ in states(tmp_path)] == [
        (i, named.get(i.split("-")[0], "ok")) for i in ids
    ]


def test_bytes_do_not_depend_on_how_many_rows_a_call_takes(tmp_path):
    ids = [f"ok-{i}" for i in range(64)]
    small_files(tmp_path, ids)
    run(job(tmp_path, sample_stage.PROCESSES, ids, name="one"))
    run(job(tmp_path, together(8), ids, cores=1, name="eight"))
    one, eight = (tmp_path / f"{name}.parquet" for name in ("one", "eight"))
    assert one.read_bytes() == eight.read_bytes()


def test_calls_hold_small_files_and_leave_work_for_every_worker(tmp_path):
    ids = [f"ok-{i}" for i in range(128)]
    small_files(tmp_path, ids)

    def calls(rows, workers, indices=range(128)):
        found = runner._calls(job(tmp_path, together(rows), ids), indices, workers)
        assert [index for call in found for index in call] == list(indices)
        return [len(call) for call in found]

    assert calls(1, 2) == [1] * 128
    assert calls(8, 2) == [8] * 16
    assert calls(8, 4) == [4] * 32
    assert calls(8, 2, range(5)) == [1] * 5
    large = tmp_path / "ok-2.mp4"
    with large.open("wb") as file:
        file.truncate(runner.CALL_BYTES)
    (tmp_path / "ok-5.mp4").unlink()  # what cannot be looked at may be large
    (tmp_path / "ok-6.mp4").unlink()
    (tmp_path / "ok-6.mp4").mkdir()  # a folder of frames
    assert calls(8, 2)[:7] == [2, 1, 2, 1, 1, 8, 8]


def test_a_stage_inside_the_job_gets_its_rows_together(tmp_path):
    ids = [f"ok-{i}" for i in range(64)]
    small_files(tmp_path, ids)
    above, below = (replace(together(n), open=sample_stage.open_company) for n in (8, 1))
    inline = {"frames": Source(stage=above, config=sample_stage.SampleConfig())}
    run(job(tmp_path, below, ids, cores=1, inputs=inline, name="faces"))
    reader = ShardReader(tmp_path / "faces.parquet")
    texts = [f"{i}.mp4, one of 8, one of 1" for i in ids]
    assert [reader.row(number)["text"] for number in range(64)] == texts


def test_a_bad_clip_in_a_batch_costs_one_row(tmp_path):
    run(job(tmp_path, sample_stage.BATCHES, ["ok-1", "bug-1", "ok-2", "ok-3", "noface-1"]))
    assert [status for _, status, _ in states(tmp_path)] == ["ok", "invalid", "ok", "ok", "no_face"]


@pytest.mark.parametrize("stage", [sample_stage.PROCESSES, sample_stage.BATCHES])
@pytest.mark.parametrize("fault", ["disk", "gpu"])
def test_faults_of_the_machine_stop_the_job_and_leave_nothing(tmp_path, stage, fault):
    with pytest.raises(SystemicError):
        run(job(tmp_path, stage, ["ok-1", f"{fault}-1", "ok-2"]))
    assert list(tmp_path.iterdir()) == []


def test_order_and_bytes_do_not_depend_on_the_number_of_workers(tmp_path):
    ids = [f"ok-{i}" for i in range(20)]
    run(job(tmp_path, sample_stage.PROCESSES, ids, cores=1, name="one"))
    run(job(tmp_path, sample_stage.PROCESSES, ids, cores=3, name="three"))
    one, three = (tmp_path / f"{name}.parquet" for name in ("one", "three"))
    assert one.read_bytes() == three.read_bytes()


def test_rows_lost_upstream_are_skipped_with_the_cause(tmp_path):
    ids = ["ok-1", "noface-1", "ok-2"]
    run(job(tmp_path, sample_stage.PROCESSES, ids, name="frames"))
    source = {"frames": Source(path=tmp_path / "frames.parquet")}
    run(job(tmp_path, sample_stage.BATCHES, ids, inputs=source, name="faces"))
    assert [s for _, s, _ in states(tmp_path, "faces")] == ["ok", "skipped", "ok"]
    reader = ShardReader(tmp_path / "faces.parquet")
    assert reader.by_id("noface-1")["error_message"] == "frames: no_face"
    assert reader.by_id("ok-2")["text"] == "ok-2 ok-2 ok-2.mp4"


def test_an_upstream_stage_can_run_inside_the_job(tmp_path):
    ids = ["ok-1", "noface-1"]
    inline = {"frames": Source(stage=sample_stage.PROCESSES, config=sample_stage.SampleConfig())}
    run(job(tmp_path, sample_stage.PROCESSES, ids, inputs=inline, name="faces"))
    assert states(tmp_path, "faces") == [
        ("ok-1", "ok", None),
        ("noface-1", "no_face", "RowFailure"),
    ]
    reader = ShardReader(tmp_path / "faces.parquet")
    assert reader.by_id("ok-1")["text"] == "ok-1 ok-1 ok-1.mp4"


def test_inputs_of_other_clips_are_refused(tmp_path):
    run(job(tmp_path, sample_stage.PROCESSES, ["ok-1"], name="frames"))
    source = {"frames": Source(path=tmp_path / "frames.parquet")}
    with pytest.raises(StoreError, match="its clips differ"):
        run(job(tmp_path, sample_stage.BATCHES, ["ok-2"], inputs=source, name="faces"))


def test_a_path_out_of_the_root_is_a_row_and_reads_nothing(tmp_path):
    bad = job(tmp_path, sample_stage.BATCHES, ["ok-1"])
    bad = Job(**{**bad.__dict__, "clips": [Clip(id="ok-1", path="../x.mp4")]})
    run(bad)
    assert states(tmp_path) == [("ok-1", "invalid", "RowFailure")]


def test_finished_rows_of_a_journalled_stage_are_paid_for_once(tmp_path, monkeypatch):
    calls = tmp_path / "calls"
    monkeypatch.setenv("SAMPLE_CALLS", str(calls))
    clips = ["ok-1", "ok-2", "noface-1", "ok-3", "gpu-1", "ok-4"]

    def journalled(ids, name):
        fields = job(tmp_path, sample_stage.JOURNAL, ids, name=name).__dict__
        journal = tmp_path / "journal" / "00000.sqlite"
        return Job(**{**fields, "journal": journal, "keys": [f"key {i}" for i in ids]})

    with pytest.raises(SystemicError):
        run(journalled(clips, "killed"))
    assert not (tmp_path / "killed.parquet").exists()
    calls.unlink()
    mended = [i.replace("gpu", "ok") for i in clips]
    run(journalled([*mended, "ok-5"], "again"))
    # ok-1 and ok-2 were finished; noface is no final answer and is asked again
    assert "ok-1" not in calls.read_text().split()
    assert "ok-2" not in calls.read_text().split()
    run(job(tmp_path, sample_stage.JOURNAL, [*mended, "ok-5"], name="whole"))
    assert states(tmp_path, "again") == states(tmp_path, "whole")
    again, whole = (ShardReader(tmp_path / f"{name}.parquet") for name in ("again", "whole"))
    assert [again.row(i) for i in range(7)] == [whole.row(i) for i in range(7)]


LOADED_ONCE = """
import os
from pathlib import Path
import sample_stage
from expressway.core.manifest import Clip
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.store import read_table

class Config(sample_stage.SampleConfig):
    def imports(self):
        return ("heavy",)

def work(config, runtime):
    import heavy
    return lambda rows: [{"text": f"{heavy.LOADED_BY} {os.getpid()}"} for _ in rows]

if __name__ == "__main__":
    stage = sample_stage.Stage("frames", Config, sample_stage.schema, work, "processes")
    clips = [Clip(id=f"ok-{n}", path="a.mp4") for n in range(8)]
    run(Job(stage, Config(), clips, Path("."), {}, Path("out.parquet"), {}, cores=2))
    for text in read_table(Path("out.parquet")).column("text").to_pylist():
        print(text)
"""


def test_what_workers_import_is_imported_once_for_all(tmp_path):
    (tmp_path / "heavy.py").write_text("import os\n\nLOADED_BY = os.getpid()\n")
    (tmp_path / "job.py").write_text(LOADED_ONCE)
    support = Path(sample_stage.__file__).parent
    path = os.pathsep.join([str(tmp_path), str(support), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "job.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pairs = [line.split() for line in done.stdout.split("\n") if line]
    assert len(pairs) == 8
    loaded_by = {loader for loader, _ in pairs}
    assert len(loaded_by) == 1
    assert not loaded_by & {worker for _, worker in pairs}
