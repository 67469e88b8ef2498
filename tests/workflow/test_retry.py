"""expressway retry on a real store: a decoder that hung once, and what stands on its row."""

import os
import shutil

from project import only_stages

from expressway.core.store import read_table

FRAMES = "results/tiny/frames/sparse/00001.parquet"


def hang_on(project, clip):
    """Put an ffmpeg on the PATH that hangs on one clip and works on the others."""
    wrapper = project.folder / "bin/ffmpeg"
    wrapper.parent.mkdir()
    real = shutil.which("ffmpeg", path=project.env["PATH"])
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *{clip}*) sleep 600 ;; esac\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    return {"PATH": f"{wrapper.parent}{os.pathsep}{project.env['PATH']}"}


def table(project):
    return read_table(project.folder / FRAMES)


def test_a_row_that_timed_out_is_computed_and_nothing_else(project):
    whole = table(project)
    clip = whole.column("clip_id")[3].as_py()
    healthy = project.env
    project.env = {**healthy, **hang_on(project, clip)}
    project.config(lambda c: c["stages"]["frames"]["sparse"].update(timeout_seconds=20))
    (project.folder / FRAMES).unlink()
    project.snakemake(FRAMES)
    hung = table(project)
    assert hung.column("status").to_pylist().count("timeout") == 1
    assert hung.column("status")[3].as_py() == "timeout"

    project.env = healthy
    features = "results/tiny/visual_features/demo/00001.parquet"
    assert only_stages(project.jobs(features)) == {"faces": 1, "visual_features": 1}
    project.snakemake(features)
    printed = project.expressway("retry", "--stage", "frames", "--status", "timeout").stdout
    assert f"{FRAMES}: 1 row(s) again: 1 ok" in printed
    again = table(project)
    assert again.equals(whole)
    for index in set(range(len(hung))) - {3}:
        assert again.slice(index, 1).equals(hung.slice(index, 1))
    assert only_stages(project.jobs(features)) == {"faces": 1, "visual_features": 1}
    project.snakemake(features)
    log = (project.folder / "logs/tiny/faces/mediapipe/00001.log").read_text()
    assert "faces 00001: 7 taken over, 1 computed" in log
