"""The workflow under a real Slurm: grouped submissions, cancelled jobs, a card asked for.

One node on loopback (tests/support/slurm.py), profiles/slurm as it stands. The command line adds
what a cluster without accounting and without CUDA needs, and packs more into one submission, since
each costs seconds.
"""

import fcntl
import json
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import network_disk
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
# One training of two processes, as on two cards; a probe, which is small, by many epochs.
EPOCHS = 100
TWO_TASKS = ("train:gpu=0", "train:mpi=srun", "train:tasks_per_node=2", "train:mem_mb=attempt*2000")
TOGETHER = {
    "method": "linear",
    "dataset": "tiny",
    "protocol": "supervised",
    "scheme": "folds",
    "splits": ["fold1"],
    "stores": {"visual_features": "demo"},
    "recipe": {"optimiser": "adamw", "learning_rate": 0.01, "batch_size": 8, "epochs": EPOCHS},
}
SUBMITTED = re.compile(r"has been submitted with SLURM jobid (\d+)")
ARRAY = re.compile(r"Submitted array job with Snakemake IDs .* and SLURM job ID (\d+)")
PATIENCE = 300.0


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A running Slurm, by the folder of its files; one test session a machine at a time has it."""
    reason = local_slurm.why_not()
    if reason:
        pytest.skip(reason)
    with (Path(tempfile.gettempdir()) / "expressway-slurm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root = tmp_path_factory.mktemp("slurm")
        try:
            local_slurm.start(root)
            yield root
        finally:
            local_slurm.stop(root)


@dataclass(frozen=True)
class Run:
    """What a run left, and the job that was cancelled on its way."""

    project: Project
    status: int
    said: str
    victim: str


@pytest.fixture(scope="module")
def first_run(cluster, world, tmp_path_factory):
    """From videos to a table, with one job cancelled on the way.

    Fewer stores than the tiny world has: time is dear.
    """
    project = Project(tmp_path_factory.mktemp("cluster") / "project")
    lay_out(project.folder, world)
    project.config(shorten)
    driver = submit(project, *NO_CUDA, *GROUPED)
    store = project.folder / "results/tiny/frames/sparse"
    wait_for(lambda: any(store.glob("*.parquet")), "the first shard")
    victim = cancel("preparation")
    return Run(project, *finish(project, driver), victim)


def shorten(config):
    config["prepare"] = []
    for section, kept in (("models", "linear"), ("evaluations", "supervised")):
        config[section] = {kept: config[section][kept]}
    config["comparisons"] = []


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


def cancel(rule):
    """Cancel the running job of a rule or group; return its id."""
    (number,) = [
        number
        for number, job in local_slurm.show_jobs().items()
        if rule in job.get("Comment", "") and job["JobState"] == "RUNNING"
    ]
    subprocess.run(["scancel", number], check=True)
    return number


def submitted(said):
    """Return id -> fields of the jobs that a driver submitted."""
    jobs = local_slurm.show_jobs()
    return {number: jobs[number] for number in SUBMITTED.findall(said)}


def test_from_videos_to_a_table_with_one_job_cancelled_on_the_way(first_run):
    project, victim = first_run.project, first_run.victim
    assert first_run.status == 0, first_run.said
    jobs = submitted(first_run.said)
    assert len(jobs) <= 8, first_run.said
    assert jobs[victim]["JobState"] == "CANCELLED"
    others = [number for number in jobs if number != victim]
    assert {jobs[number]["JobState"] for number in others} == {"COMPLETED"}
    again = next(n for n in others if jobs[n]["Comment"] == jobs[victim]["Comment"])
    assert megabytes(jobs[again]) > megabytes(jobs[victim]), "attempt scales memory"
    trained = [job for job in jobs.values() if job["Comment"].startswith("rule_train")]
    assert [job["TresPerNode"] for job in trained] == ["gres:gpu:1"]

    table = (project.folder / "results/tables/results.csv").read_text()
    assert "linear" in table
    assert not list(project.folder.rglob("*.tmp"))
    assert project.jobs() == {}


def megabytes(job):
    value = job["MinMemoryNode"]
    return float(value[:-1]) * {"M": 1, "G": 1024}[value[-1]]


def test_two_tasks_train_together_and_go_on_after_preemption(first_run):
    project = first_run.project
    project.config(lambda config: config["models"].update(together=TOGETHER))
    model, log = "results/models/together/fold1-seed0", "logs/models/together/fold1-seed0.log"
    driver = submit(project, "--set-resources", *TWO_TASKS, "--", f"{model}/model.json")
    wait_for(lambda: f"/{EPOCHS}: " in said_by(project.folder / log), "the first epochs")
    victim = cancel("rule_train")
    status, said = finish(project, driver)
    assert status == 0, said

    jobs = submitted(said)
    assert [job["JobState"] for job in jobs.values()] == ["CANCELLED", "COMPLETED"]
    assert jobs[victim]["JobState"] == "CANCELLED"
    assert {job["NumTasks"] for job in jobs.values()} == {"2"}
    log = said_by(project.folder / log)
    assert "going on from state/models/together" in log
    assert "on 2 x cpu" in log
    assert "8 clips (2 processes x 1 micro batches x 4)" in log
    card = json.loads((project.folder / model / "model.json").read_text())
    assert [row["epoch"] for row in card["history"]] == list(range(1, EPOCHS + 1))
    # where a training computes is no part of what it makes: no reason to train again
    assert project.jobs(f"{model}/model.json") == {}


def said_by(log):
    return log.read_text() if log.exists() else ""


def test_a_card_that_is_not_there_fails_with_a_remedy(first_run):
    """The profile's own gpu: 1 is scheduled, and torch without CUDA refuses to fall back."""
    project, shard = first_run.project, "text_embeddings/captions/00000"
    driver = submit(project, "--retries", "0", f"results/tiny/{shard}.parquet")
    status, said = finish(project, driver)
    assert status == 1, said
    ((_, job),) = submitted(said).items()
    assert job["TresPerJob"] == "gres:gpu:1"
    assert job["JobState"] == "FAILED"
    log = said_by(project.folder / f"logs/tiny/{shard}.log")
    assert "a GPU was asked for, but torch" in log
    assert "ask for no GPU (resources: gpu=0)" in log


def test_ready_jobs_travel_as_one_array_of_which_one_is_cancelled(first_run):
    project = Project(first_run.project.folder)
    profile = project.folder / "profiles/slurm/config.yaml"
    profile.write_text(with_arrays(profile.read_text()))
    shards = [f"results/tiny/visual_features/demo/0000{number}.parquet" for number in range(3)]
    made = [(project.folder / name).read_bytes() for name in shards]
    for name in shards:
        (project.folder / name).unlink()
    driver = submit(project, *NO_CUDA, "--", *shards)
    wait_for(lambda: len(running_tasks()) == 3, "three tasks of one array")
    victim = running_tasks()[1]
    task = "{ArrayJobId}_{ArrayTaskId}".format_map(victim)
    subprocess.run(["scancel", task], check=True)
    status, said = finish(project, driver)
    assert status == 0, said
    assert len(ARRAY.findall(said)) == 1
    ((_, again),) = submitted(said).items()
    assert again["JobState"] == "COMPLETED"
    assert megabytes(again) > megabytes(victim), "attempt scales memory"
    assert [(project.folder / name).read_bytes() for name in shards] == made


def with_arrays(profile):
    """Take the profile's lines on arrays as they stand there."""
    unlimited = profile.replace("jobs: 100\n", "")
    return re.sub(r"^# (jobs|max-jobs|slurm-array)", r"\1", unlimited, flags=re.MULTILINE)


def running_tasks():
    return [
        job
        for job in local_slurm.show_jobs().values()
        if "ArrayTaskId" in job and job["JobState"] == "RUNNING"
    ]


@pytest.fixture
def disk(cluster, tmp_path):
    """A network disk: one client is this machine's, one the node's, and each sees files late."""
    reason = network_disk.why_not()
    if reason:
        pytest.skip(reason)
    with network_disk.mounted(tmp_path) as disk:
        local_slurm.stop_node(cluster)
        node = local_slurm.start_node(cluster, disk.elsewhere)
        try:
            yield disk
        finally:
            network_disk.unmount(disk.place, node)
            local_slurm.stop_node(cluster)
            local_slurm.start_node(cluster)


def test_a_network_disk_that_shows_files_late(disk, first_run, world):
    """Stores are made on the node, awaited where the driver is, and read on by a job there."""
    late = disk.place / "late"
    assert not late.exists()
    subprocess.run(["srun", "touch", late], check=True, cwd=disk.place)
    assert not late.exists(), "else this test shows nothing"

    project = Project(disk.place / "project")
    lay_out(project.folder, world)
    stores = "frames/sparse", "faces/mediapipe", "visual_features/demo"
    frames, faces, features = (f"results/tiny/{store}/00000.parquet" for store in stores)
    status, said = finish(project, submit(project, *NO_CUDA, "--", faces))
    assert status == 0, said
    assert "Waiting at most 120 seconds for missing files" in said
    ((_, job),) = submitted(said).items()
    assert job["JobState"] == "COMPLETED"
    project.snakemake(features)
    for name in (frames, faces, features):
        made_on_a_local_disk = first_run.project.folder / name
        assert (project.folder / name).read_bytes() == made_on_a_local_disk.read_bytes()
    assert project.jobs(features) == {}
