"""The time line comes from Snakemake's own files: a table's age tells when its job ended."""

import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from expressway.reporting.sections.time import WIDTH, merged, timeline


def written(root: Path, rule: str, *jobs: tuple[float, float]) -> list[tuple[str, Path]]:
    """Benchmark tables of jobs (start, seconds)."""
    made = []
    for index, (start, seconds) in enumerate(jobs):
        path = root / f"{rule}-{index}.tsv"
        path.write_text(f"s\tmax_rss\tcpu_time\n{seconds}\t100\t{seconds / 2}\n")
        os.utime(path, (start + seconds, start + seconds))
        made.append((rule, path))
    return made


def bars(lane: str) -> list[tuple[float, float]]:
    rects = [e for e in ElementTree.fromstring(lane).iter("rect") if e.get("class") == "part-ok"]
    return [(float(e.get("x") or 0), float(e.get("width") or 0)) for e in rects]


def test_times_are_summed_per_rule(evaluated: Any) -> None:
    found = timeline(evaluated.benchmarks)
    rules = {time.rule: time for time in found.rules}
    frames, evaluate = rules["prepare_frames"], rules["evaluate"]
    assert (len(frames.jobs), frames.total) == (2, pytest.approx(20))
    assert (frames.longest, frames.median) == (pytest.approx(12.5), pytest.approx(10))
    assert (frames.memory, frames.cpu) == (310.2, None)
    assert (evaluate.total, evaluate.memory) == (pytest.approx(61), None)
    assert (found.jobs, found.total) == (3, pytest.approx(81))


def test_unmeasured_and_missing_benchmarks_are_left_out(world: Any) -> None:
    world.write_benchmark("quick", ("-", "-"))
    gone = ("gone", world.root / "benchmarks/gone.tsv")
    assert timeline([*world.benchmarks, gone]).rules == ()


def test_bars_stand_where_jobs_ran_and_pauses_are_left_out(tmp_path: Path) -> None:
    # 100 s of work, an hour of nothing, 100 s of work
    train = written(tmp_path, "train", (5000, 50), (8750, 100))
    faces = written(tmp_path, "faces", (5050, 50))
    found = timeline([*train, *faces])
    assert [time.rule for time in found.rules] == ["train", "faces"]
    assert (found.elapsed, found.cpu) == (pytest.approx(200), pytest.approx(100))
    first, second = found.rules
    assert bars(found.lane(first)) == [(0, WIDTH / 4), (WIDTH / 2, WIDTH / 2)]
    assert bars(found.lane(second)) == [(WIDTH / 4, WIDTH / 4)]
    assert found.lane(second).count('class="pause"') == 1
    assert "faces: from 50.0 s to 1 min 40 s" in found.lane(second)


def test_jobs_side_by_side_and_runs_of_one_table_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "repeated.tsv"
    path.write_text("s\tmax_rss\n10\t1\n20\t2\n")
    os.utime(path, (1000, 1000))
    [rule] = timeline([("repeat", path)]).rules
    assert [(job.start, job.end) for job in rule.jobs] == [(970, 980), (980, 1000)]
    assert merged([(5, 9), (0, 6), (20, 21)], 2) == [(0, 9), (20, 21)]
