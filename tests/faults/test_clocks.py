"""Clocks that disagree: of two drivers of one folder, and of the disks that files came from."""

import os
import random
import shutil
import sys
import time

from project import ROOT, Project

DAY = 86400
MODEL = "results/models/linear/fold1-seed0"
# What one run under a wrong clock makes anew: a shard of every kind of stage, a model, its report.
LOST = (
    "results/tiny/frames/sparse/00001.parquet",
    "results/tiny/faces/mediapipe/00001.parquet",
    "results/tiny/visual_features/demo/00001.parquet",
    MODEL,
    "results/evaluations/linear",
    "results/report",
)
TELLING = ("*.parquet", "*.safetensors", "metrics.json")


def by_wrong_clock(project, days, *command):
    """Run a command whose clock, and those of all its jobs, are wrong by so many days."""
    paths = (ROOT / "tests/support/wrong_clock", project.env["PYTHONPATH"])
    other = Project(project.folder)
    other.env |= {"WRONG_CLOCK": str(days * DAY), "PYTHONPATH": os.pathsep.join(map(str, paths))}
    return other.run(*command)


def contents(project):
    """Return what a run computes: path -> bytes of stores, weights, predictions and metrics."""
    folder = project.folder / "results"
    return {
        path.relative_to(folder): path.read_bytes()
        for pattern in TELLING
        for path in folder.rglob(pattern)
    }


def test_drivers_whose_clocks_are_days_apart_make_the_same(project, finished):
    for name in LOST:
        path = project.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    clock = (sys.executable, "-c", "import time; print(time.time())")
    assert float(by_wrong_clock(project, -3, *clock).stdout) < time.time() - 2 * DAY
    by_wrong_clock(project, 2, "snakemake", "--cores", "2", *LOST[:3])
    by_wrong_clock(project, -2, "snakemake", "--cores", "2", f"{MODEL}/model.json")
    project.snakemake()
    assert contents(project) == contents(finished)
    for days in (-2, 2):
        assert "Nothing to be done" in by_wrong_clock(project, days, "snakemake", "-n").stdout


def test_files_of_disks_whose_clocks_are_days_apart_are_adopted(project, finished):
    """Ages of files decide nothing: what they say that they were made of does."""
    draw = random.Random(7)
    for path in sorted((project.folder / "results").rglob("*")):
        moved = path.stat().st_mtime + draw.uniform(-DAY, DAY)
        os.utime(path, (moved, moved))
    assert project.jobs() == {}
    assert "not adopted" not in project.expressway("adopt").stdout
    assert project.jobs() == {}
    assert contents(project) == contents(finished)
