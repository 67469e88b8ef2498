"""The doctor finds what is wrong, and finds nothing wrong where nothing is."""

import os
import subprocess
import sys

import pytest

from expressway.commands import doctor


def finding(check):
    found = {each.check: each for each in doctor.examine()}
    return found[check]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ask(folder, **environment):
    """Run the command as a user does; return exit status and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "expressway", "doctor"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_healthy_folder(folder):
    status, said = ask(folder)
    assert status == 0, said
    assert "PROBLEM" not in said
    assert said.count("ok  ") == len(doctor.CHECKS)


def test_an_ffmpeg_that_does_not_run(folder, monkeypatch):
    from expressway.core.subprocesses import ffmpeg_binary

    broken = folder / "bin/ffmpeg"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho no such codec >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}{os.pathsep}{os.environ['PATH']}")
    ffmpeg_binary.cache_clear()
    try:
        found = finding("ffmpeg")
    finally:
        ffmpeg_binary.cache_clear()
    assert "no such codec" in found.found
    assert found.remedy


def test_a_torch_that_belongs_to_another_torchvision(folder):
    dist = folder / "site/torch-9.9.9.dist-info"
    dist.mkdir(parents=True)
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.9.9\n")
    status, said = ask(folder, PYTHONPATH=_first(folder / "site"))
    assert status == 1
    assert "torch 9.9.9" in said
    assert "this torchvision belongs to torch 2." in said
    assert "run: pip install -c constraints.txt -e ." in said


def test_a_torchvision_that_does_not_import(folder):
    package = folder / "site/torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('operator nms does not exist')\n")
    status, said = ask(folder, PYTHONPATH=_first(folder / "site"))
    assert status == 1
    assert "operator nms does not exist" in said
    assert "tools/torchvision-cpu" in said


def _first(place):
    return os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])


def test_a_full_disk(folder, monkeypatch):
    monkeypatch.setattr(doctor, "LEAST_FREE", 1 << 60)
    assert finding("disk").remedy


@pytest.mark.parametrize(
    ("kind", "lies"),
    [("hardlink", True), ("reflink,symlink", True), ("copy", False), ("reflink,copy", False)],
)
def test_cache_types_that_make_dvc_lie(folder, kind, lies):
    for words in (("init", "-q", "--no-scm"), ("config", "cache.type", kind)):
        subprocess.run([sys.executable, "-m", "dvc", *words], check=True)
    found = finding("DVC cache")
    assert bool(found.remedy) == lies
    if lies:
        # what the doctor says must help
        command = found.remedy.split("&&")[0].split()
        subprocess.run([sys.executable, "-m", *command], check=True)
        assert finding("DVC cache").remedy is None


def test_a_lock_without_and_with_a_run(folder):
    lock = folder / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("results/x\n")
    assert finding("lock").remedy == "snakemake --unlock"
    with subprocess.Popen(["bash", "-c", "exec -a snakemake sleep 60"], cwd=folder) as run:
        try:
            found = finding("lock")
        finally:
            run.kill()
    assert found.remedy is None
    assert f"a run is going in this folder (process {run.pid})" in found.found


@pytest.mark.parametrize("name", [".snakemake/incomplete/cmVzdWx0cw==", "results/a/.x.5.q.tmp"])
def test_what_killed_jobs_left(folder, name):
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("")
    assert finding("killed jobs").remedy == "snakemake --cores all"
