"""The workflow is killed, started again, and ends with the same files as if nothing had been."""

import os
import random
import re
import signal
import subprocess
import time

import pytest
from project import ROOT, Project, lay_out

KILLER = ROOT / "tests/support/killer"
COMPARED = (
    *("*.parquet", "metrics.json", "model.json", "*.safetensors", "*.csv"),
    "coverage/*/*.json",
)
LEGS = 16
# For what ends by itself, however much else the machine does; passed only when something hangs.
PATIENCE = 1800.0


def haunted(project, tmp_path, seed, signals, **options):
    """Let every job of a project be killed once, at a commit point drawn by chance."""
    notes = tmp_path / "notes"
    notes.mkdir(exist_ok=True)
    project.env = {
        **project.env,
        "PYTHONPATH": f"{KILLER}{os.pathsep}{project.env['PYTHONPATH']}",
        "KILLER_SEED": str(seed),
        "KILLER_SIGNALS": signals,
        "KILLER_NOTES": str(notes),
        **options,
    }
    return notes


def contents(project):
    """Return path -> bytes of all that the workflow computes."""
    top = project.folder / "results"
    paths = (path for pattern in COMPARED for path in top.rglob(pattern))
    return {str(path.relative_to(top)): path.read_bytes() for path in paths}


def assert_same(project, reference):
    found, wanted = contents(project), contents(reference)
    assert sorted(found) == sorted(wanted)
    assert [path for path in wanted if found[path] != wanted[path]] == []
    tops = [project.folder / name for name in ("results", "state")]
    assert [path for top in tops for path in top.rglob("*.tmp")] == []


@pytest.fixture
def fresh(world, tmp_path):
    """A project that nothing ran in."""
    lay_out(tmp_path / "project", world)
    return Project(tmp_path / "project")


def test_three_jobs_are_killed_and_their_results_are_equal(project, finished, tmp_path):
    notes = haunted(project, tmp_path, 5, "SIGKILL")
    targets = (
        "results/tiny/landmarks/mediapipe/00001.parquet",
        "results/tiny/captions/action_units/00001.parquet",
        "results/models/linear/fold1-seed0/model.safetensors",
    )
    for target in targets:
        (project.folder / target).unlink()
    project.snakemake("--retries", "1", *targets)
    assert len(list(notes.iterdir())) == 3
    assert_same(project, finished)


@pytest.mark.chaos
@pytest.mark.parametrize(("seed", "signals"), [(1, "SIGKILL"), (2, "SIGKILL,SIGTERM")])
def test_every_job_is_killed_once(fresh, finished, tmp_path, seed, signals):
    notes = haunted(fresh, tmp_path, seed, signals)
    fresh.snakemake("--retries", "1")
    killed = [note.read_text().strip() for note in notes.iterdir()]
    print(f"\n{len(killed)} jobs killed:", *sorted(killed), sep="\n  ")
    assert len(killed) >= 30
    # a table goes to the disk in five steps, and at each of them some job was killed
    hit = {int(step) for note in killed for step in re.findall(r"at step (\d+)", note)}
    assert hit >= {1, 2, 3, 4, 5}
    assert_same(fresh, finished)


@pytest.mark.chaos
@pytest.mark.parametrize("step", range(1, 21))
def test_a_training_is_killed_at_every_commit_point(project, finished, tmp_path, step):
    notes = haunted(project, tmp_path, 3, "SIGKILL", KILLER_STEP=str(step))
    words = ("train", "linear", "--split", "fold1")
    killed = project.expressway(*words, check=False)
    assert bool(list(notes.iterdir())) == (killed.returncode == -signal.SIGKILL)
    project.expressway(*words)
    assert_same(project, finished)


@pytest.mark.chaos
def test_driver_and_jobs_are_killed_at_random_moments(fresh, finished):
    chance = random.Random(7)
    kills = []
    sessions = []
    for leg in range(LEGS):
        driver = start(fresh)
        sessions.append(driver.pid)
        time.sleep(chance.uniform(5, 15))
        kills.append(chance.choice((kill_all, kill_driver, end_driver, kill_job))(driver, chance))
        if kills[-1] == "a job":
            driver.wait(PATIENCE)
        unlock_as_the_doctor_says(fresh, leg)
    print(f"\n{len(kills)} kills: {', '.join(kills)}")
    wait_for_orphans(sessions)
    fresh.snakemake()
    assert fresh.jobs() == {}
    assert_same(fresh, finished)


def start(project):
    return subprocess.Popen(
        ["snakemake", "--cores", "2"],
        cwd=project.folder,
        env=project.env,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_all(driver, chance):
    """As when the machine loses power."""
    signal_group(driver, signal.SIGKILL)
    driver.wait()
    return "everything"


def kill_driver(driver, chance):
    """The jobs go on without it, beside those of the next driver."""
    driver.kill()
    driver.wait()
    return "the driver, jobs go on"


def end_driver(driver, chance):
    driver.terminate()
    driver.wait(PATIENCE)
    return "the driver, by SIGTERM"


def kill_job(driver, chance):
    jobs = [process for process in processes(driver.pid) if "expressway" in process[1]]
    if jobs:
        os.kill(chance.choice(jobs)[0], signal.SIGKILL)
    return "a job"


def signal_group(driver, number):
    while found := processes(driver.pid):
        for process, _ in found:
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue
        driver.poll()


def processes(session):
    """Return (id, command line) of all processes of a session."""
    done = subprocess.run(
        ["ps", "-o", "pid=,args=", "--sid", str(session)], capture_output=True, text=True
    )
    rows = (line.strip().partition(" ") for line in done.stdout.splitlines())
    return [(int(number), words) for number, _, words in rows]


def unlock_as_the_doctor_says(project, leg):
    said = project.expressway("doctor", check=False).stdout
    locked = any((project.folder / ".snakemake/locks").glob("*"))
    assert ("run: snakemake --unlock" in said) == locked, f"leg {leg}: {said}"
    if locked:
        project.run("snakemake", "--unlock")


def wait_for_orphans(sessions):
    """Jobs whose driver was killed may still be writing."""
    ends = time.monotonic() + PATIENCE
    while any(processes(session) for session in sessions):
        assert time.monotonic() < ends, "jobs of killed drivers do not end"
        time.sleep(0.5)
