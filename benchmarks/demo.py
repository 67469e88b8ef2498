"""The demo from a clean checkout: time and memory; what a run with nothing to do and a job cost.

Run: python benchmarks/demo.py [--cores 2] [--repeats 5] [--folder DIR]

A clone's files lie in a folder of their own; packages are installed, nothing is computed. Memory is
the largest that any job took, by Snakemake's benchmark files, and for stages the largest of each.
A job's overhead is the time of one with next to no work: a count of what a store lost, which needs
no torch; the predictions of a model that is not trained, which do. From the latter the time of
importing the same libraries is taken off, measured in turn with it.
"""

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from expressway import stages

ROOT = Path(__file__).resolve().parents[1]
CLONED = ("Snakefile", "workflow", "profiles", "envs", "src", "config", "data")
COVERAGE = ("coverage", "landmarks", "--dataset", "demo", "--variant", "mediapipe")
PREDICT = ("predict-part", "clip", "names", "--split", "all", "--seed", "0")
IMPORTS = ("-c", "import torch, expressway.models.prediction.scores")


def main() -> None:
    """Print the demo's time and memory, then repeats of the small commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5, help="of everything but the demo itself")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        clone(folder)
        snakemake = ("snakemake", "--cores", str(options.cores))
        print(f"demo on {options.cores} cores: {run(folder, *snakemake):.0f} s", flush=True)
        print_memory(folder)
        idle = [run(folder, *snakemake) for _ in range(options.repeats)]
        print_seconds("nothing changed", idle)
        print_overhead(folder, options.repeats)


def clone(folder: Path) -> None:
    """Copy what a clone would hold; rendered clips are not part of one."""
    for name in CLONED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("clips"))
        else:
            shutil.copy(source, folder / name)


def run(folder: Path, *command: str) -> float:
    """Run a command to its end; return seconds of the clock."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder / "src"),
    }
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - begun


def print_memory(folder: Path) -> None:
    """Print the largest resident memory of any job, and of the jobs of each stage."""
    logs = folder / "logs/benchmarks"
    jobs = {path: peak(path) for path in logs.rglob("*.tsv")}
    worst = max(jobs, key=jobs.__getitem__)
    print(f"largest job: {jobs[worst]:.0f} MB ({worst.relative_to(logs)})")
    for stage in stages.NAMES:
        found = [size for path, size in jobs.items() if stage in path.relative_to(logs).parts]
        if found:
            print(f"stage {stage}: {max(found):.0f} MB")


def peak(path: Path) -> float:
    """Return the largest resident memory in one of Snakemake's benchmark files, in MB."""
    with path.open(newline="") as handle:
        sizes = [row["max_rss"] for row in csv.DictReader(handle, delimiter="\t")]
    # a job shorter than its first measurement has none
    return max((float(size) for size in sizes if size not in ("-", "NA")), default=0.0)


def print_overhead(folder: Path, repeats: int) -> None:
    """Print what a job costs beside its work, without torch and with it."""
    command = (sys.executable, "-m", "expressway")
    without = [run(folder, *command, *COVERAGE) for _ in range(repeats)]
    print_seconds("job without torch", without)
    beyond = [
        run(folder, *command, *PREDICT) - run(folder, sys.executable, *IMPORTS)
        for _ in range(repeats)
    ]
    print_seconds("job with torch, beyond imports", beyond)


def print_seconds(name: str, seconds: Sequence[float]) -> None:
    """Print lowest, median and highest."""
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    print(f"{name}: {low:.2f} {middle:.2f} {high:.2f} s (min, median, max)", flush=True)


if __name__ == "__main__":
    main()
