"""The workflow under a real Slurm: grouped submissions, a cancelled job, a card asked for.

One node on loopback (tests/support/slurm.py), profiles/slurm as it stands. The command line adds
what a cluster without accounting and without CUDA needs, and packs more into one submission, since
each costs seconds.
"""

import fcntl
import re
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import slurm as local_slurm
from project import Project, lay_out

NO_ACCOUNTING = (
    *("--slurm-status-command", "squeue", "--slurm-no-account"),
    *("--slurm-init-seconds-before-status-checks", "1"),
)
# The node has no CUDA: stages compute on its CPU; training holds the pretend card by its name.
NO_CUDA = (
    *("--set-resources", "visual_features:gpu=0", "predict:gpu=0"),
    *("train:gpu=0", "train:gres=gpu:1", "train:mem_mb=attempt*1000"),
    *("frames:mem_mb=attempt*2000", "visual_features:mem_mb=attempt*2000"),
    *("--set-threads", "frames=2", "faces=2", "visual_features=2"),
)
# Slurm's plugin looks for finished jobs ever more rarely, so few submissions is fast.
STORES = ("frames", "faces", "visual_features", "coverage")
RESULTS = ("predict", "evaluate", "tables", "report")
GROUPED = (
    *("--groups", *(f"{rule}=preparation" for rule in STORES)),
    *(f"{rule}=results" for rule in RESULTS),
    *("--group-components", "preparation=3"),
)
SUBMITTED = re.compile(r"has been submitted with SLURM jobid (\d+)")
PATIENCE = 300.0


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A running Slurm; one test session a machine at a time has it."""
    reason = local_slurm.why_not()
    if reason:
        pytest.skip(reason)
    with (Path(tempfile.gettempdir()) / "expressway-slurm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root = tmp_path_factory.mktemp("slurm")
        try:
            local_slurm.start(root)
            yield local_slurm
        finally:
            local_slurm.stop(root)


@pytest.fixture
def fresh(world, tmp_path):
    """A project that nothing ran in, with fewer stores than the tiny world's: time is dear."""
    lay_out(tmp_path / "project", world)
    project = Project(tmp_path / "project")

    def shorten(config):
        config["prepare"] = []
        for section, kept in (("models", "linear"), ("evaluations", "supervised")):
            config[section] = {kept: config[section][kept]}
        config["comparisons"] = []

    project.config(shorten)
    return project


def submit(project, *arguments):
    """Start Snakemake with the profile; what it says goes to a file."""
    command = ["snakemake", "--profile", "profiles/slurm", *NO_ACCOUNTING, *arguments]
    with (project.folder / "driver.log").open("w") as log:
        return subprocess.Popen(
            command, cwd=project.folder, env=project.env, stdout=log, stderr=subprocess.STDOUT
        )


def finish(project, driver):
    """Wait for the driver; return its exit status and all that it said."""
    try:
        status = driver.wait(timeout=900)
    except subprocess.TimeoutExpired:
        driver.kill()
        status = driver.wait()
    return status, (project.folder / "driver.log").read_text()


def wait_for(condition, what):
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: nothing after {PATIENCE} s")


def running(cluster, rule):
    """Return the id of a running job of a rule or group."""
    for number, job in cluster.show_jobs().items():
        if rule in job.get("Comment", "") and job["JobState"] == "RUNNING":
            return number
    return None


def test_from_videos_to_a_table_with_one_job_cancelled_on_the_way(cluster, fresh):
    driver = submit(fresh, *NO_CUDA, *GROUPED)
    store = fresh.folder / "results/tiny/frames/sparse"
    wait_for(lambda: any(store.glob("*.parquet")), "the first shard")
    victim = running(cluster, "preparation")
    assert victim
    subprocess.run(["scancel", victim], check=True)
    status, said = finish(fresh, driver)
    assert status == 0, said

    numbers = SUBMITTED.findall(said)
    assert len(numbers) <= 8, said
    jobs = {number: cluster.show_jobs()[number] for number in numbers}
    assert jobs[victim]["JobState"] == "CANCELLED"
    others = [number for number in numbers if number != victim]
    assert {jobs[number]["JobState"] for number in others} == {"COMPLETED"}
    again = next(n for n in others if jobs[n]["Comment"] == jobs[victim]["Comment"])
    assert megabytes(jobs[again]) > megabytes(jobs[victim]), "attempt scales memory"
    trained = [job for job in jobs.values() if job["Comment"].startswith("rule_train")]
    assert [job["TresPerNode"] for job in trained] == ["gres:gpu:1"]

    table = (fresh.folder / "results/tables/results.csv").read_text()
    assert "linear" in table
    assert not list(fresh.folder.rglob("*.tmp"))
    assert fresh.jobs() == {}


def megabytes(job):
    value = job["MinMemoryNode"]
    return float(value[:-1]) * {"M": 1, "G": 1024}[value[-1]]


def test_a_card_that_is_not_there_fails_with_a_remedy(cluster, fresh):
    """The profile's own gpu: 1 is scheduled, and torch without CUDA refuses to fall back."""
    shard = "text_embeddings/captions/00000"
    driver = submit(fresh, "--retries", "0", f"results/tiny/{shard}.parquet")
    status, said = finish(fresh, driver)
    assert status == 1, said
    (number,) = SUBMITTED.findall(said)
    job = cluster.show_jobs()[number]
    assert job["TresPerJob"] == "gres:gpu:1"
    assert job["JobState"] == "FAILED"
    log = (fresh.folder / f"logs/tiny/{shard}.log").read_text()
    assert "a GPU was asked for, but torch" in log
    assert "ask for no GPU (resources: gpu=0)" in log
