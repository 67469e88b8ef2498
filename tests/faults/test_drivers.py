"""Two drivers in one folder; a driver that is killed: what is refused, named, and recovered."""

import os
import shutil
import signal
import subprocess
import time

FRAMES = "results/tiny/frames/sparse/00001.parquet"
PATIENCE = 300.0


def slow_ffmpeg(project):
    """Put an ffmpeg on the PATH that hangs, so that a job lasts as long as the test needs it."""
    wrapper = project.folder / "bin/ffmpeg"
    wrapper.parent.mkdir()
    real = shutil.which("ffmpeg", path=project.env["PATH"])
    hang = f"touch {project.folder}/decoding; sleep 600"
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *file:*) {hang} ;; esac\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    return {**project.env, "PATH": f"{wrapper.parent}{os.pathsep}{project.env['PATH']}"}


def start(project, environment):
    driver = subprocess.Popen(
        ["snakemake", "--cores", "1", FRAMES],
        cwd=project.folder,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ends = time.monotonic() + PATIENCE
    while not (project.folder / "decoding").exists():
        assert driver.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.1)
    return driver


def test_a_second_driver_is_refused_a_killed_one_is_recovered(project, finished):
    whole = (project.folder / FRAMES).read_bytes()
    (project.folder / FRAMES).unlink()
    driver = start(project, slow_ffmpeg(project))
    try:
        second = project.snakemake(FRAMES, check=False)
        assert second.returncode
        assert "Directory cannot be locked" in second.stdout + second.stderr
        said = project.expressway("doctor").stdout
        assert f"a run is going in this folder (process {driver.pid})" in said
        busy = project.expressway("retry", "--stage", "faces", "--status", "timeout", check=False)
        assert "a run of snakemake holds this folder" in busy.stderr
        assert driver.poll() is None, "the first driver is not disturbed"
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()

    doctor = project.expressway("doctor", check=False)
    assert doctor.returncode == 1
    assert "run: snakemake --unlock" in doctor.stdout
    assert "output(s) of killed jobs" in doctor.stdout
    assert not (project.folder / FRAMES).exists(), "nothing under the name that is not whole"
    assert project.snakemake(FRAMES, check=False).returncode
    project.run("snakemake", "--unlock")
    project.snakemake(FRAMES)
    assert (project.folder / FRAMES).read_bytes() == whole
    assert not list((project.folder / "results").rglob("*.tmp"))
    assert project.expressway("doctor").returncode == 0
