"""A project folder like a user's, with the tiny world in it, driven by the real Snakemake."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from expressway import stages

ROOT = Path(__file__).parents[2]
CLIPS, SPARE = 24, 3
TIMEOUT = 1800
STAGES = ("frames", "faces", "landmarks", "visual_features", "text_embeddings")


class Project:
    """A working folder with its own copy of the workflow and of the package's source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "src"),
            "HOME": str(folder),
        }

    def run(self, *command, check=True, **options):
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            **options,
        )
        if check and done.returncode:
            raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def snakemake(self, *arguments, check=True):
        return self.run("snakemake", "--cores", "2", *arguments, check=check)

    def expressway(self, *arguments, check=True):
        return self.run(sys.executable, "-m", "expressway", *arguments, check=check)

    def jobs(self, *arguments):
        """Return rule -> number of jobs that a run would start now."""
        done = self.snakemake("-n", *arguments)
        return job_counts(done.stdout + done.stderr)

    def edit(self, name, old, new):
        path = self.folder / name
        text = path.read_text()
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new))

    def config(self, change):
        """Change the configuration by a function on its mapping."""
        path = self.folder / "config/config.yaml"
        values = yaml.safe_load(path.read_text())
        change(values)
        path.write_text(yaml.safe_dump(values, sort_keys=False))

    def append_clip(self, number, part=None):
        """Add a spare clip of the world to the manifest (and to the split, when asked)."""
        row = self.spare[number]
        with (self.folder / "data/tiny/manifest.csv").open("a", newline="") as handle:
            csv.DictWriter(handle, list(row), lineterminator="\n").writerow(row)
        if part:
            with (self.folder / "data/tiny/splits.csv").open("a") as handle:
                handle.write(f"{row['id']},folds,fold1,{part}\n")

    @property
    def spare(self):
        with (self.folder / "data/tiny/spare.csv").open(newline="") as handle:
            return list(csv.DictReader(handle))

    def copy(self, folder):
        subprocess.run(["cp", "-a", str(self.folder), str(folder)], check=True)
        return Project(folder)


def job_counts(text):
    """Read Snakemake's table of job statistics; an empty mapping when there is nothing to do."""
    table = re.search(r"^job +count\n-+ +-+\n(.*?)^total", text, re.MULTILINE | re.DOTALL)
    if table is None:
        assert "Nothing to be done" in text, text
        return {}
    rows = (line.split() for line in table[1].splitlines() if line.strip())
    return {rule: int(number) for rule, number in rows if rule != "all"}


def only_stages(jobs):
    """Return the jobs that compute stores."""
    return {rule: number for rule, number in jobs.items() if rule in stages.NAMES}


def lay_out(folder, world):
    """Write the project's files: what a user has after a clone and an import."""
    folder.mkdir()
    for name in ("Snakefile", "workflow", "profiles", "envs", "src", "config"):
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    shutil.copytree(ROOT / "data/demo/backbone", folder / "data/demo/backbone")
    shutil.copytree(world / "clips", folder / "videos/clips")
    shutil.copy(ROOT / "tests/workflow/tiny.yaml", folder / "config/config.yaml")
    for path in (folder / "config/datasets").glob("*.yaml"):
        path.unlink()
    split_manifest(world, folder / "data/tiny")
    demo = yaml.safe_load((ROOT / "config/datasets/demo.yaml").read_text())
    tiny = {
        "manifest": "data/tiny/manifest.csv",
        "splits": "data/tiny/splits.csv",
        "root": "videos",
        "shard_size": 8,
        "labels": demo["labels"],
        "targets": demo["targets"],
    }
    (folder / "config/datasets/tiny.yaml").write_text(yaml.safe_dump(tiny))


def split_manifest(world, folder):
    """The first clips are the data set; the rest is kept apart to be added later."""
    folder.mkdir(parents=True)
    with (world / "manifest.csv").open(newline="") as handle:
        reader = csv.DictReader(handle)
        rows, header = list(reader), reader.fieldnames
    for name, part in (("manifest.csv", rows[:CLIPS]), ("spare.csv", rows[CLIPS:])):
        with (folder / name).open("w", newline="") as handle:
            writer = csv.DictWriter(handle, header, lineterminator="\n")
            writer.writeheader()
            writer.writerows(part)
    spare = {row["id"] for row in rows[CLIPS:]}
    lines = (world / "splits.csv").read_text().splitlines()
    kept = [line for line in lines if line.split(",")[0] not in spare]
    (folder / "splits.csv").write_text("\n".join(kept) + "\n")
