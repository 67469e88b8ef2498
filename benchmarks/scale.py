"""What planning costs for 4,000 and 40,000 clips, and so for a million: time, CPU, memory.

Run: python benchmarks/scale.py [--clips 4000 40000] [--shard-size 256] [--repeats 3]

A project like a user's holds a generated data set: clips of a few bytes (nothing decodes them),
five folds, every stage, three models and one table. Each command runs in a process of its own:
validation (the first one hashes every file), what a stage's job does before it looks at a clip,
``snakemake -n`` with everything to do, with nothing to do, after one appended clip, and after 1 %
more clips; the last two also count the shards that would be made again. For the plans with results,
these are empty files that Snakemake's own records vouch for.
CPU seconds depend little on what else the machine does. "per clip" is the slope between the
smallest and the largest size, "at a million" the line through them.
"""

import argparse
import csv
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from expressway import stages
from expressway.language.emotions import BASIC

ROOT = Path(__file__).resolve().parents[1]
LINKED = ("Snakefile", "workflow", "profiles", "data/demo")
COPIED = ("src", "config/prompts")  # an edit meanwhile would make everything stale
BACKBONE = {"backbone": "local-dir:data/demo/backbone"}
DATASET = {
    "manifest": "data/scale/manifest.csv",
    "splits": "data/scale/splits.csv",
    "root": "videos",
    "labels": {"emotion": list(BASIC)},
}
FACES = {"faces": "mediapipe"}
CONFIG = {
    "datasets": ["scale"],
    "tables": ["scale"],
    "prepare": [
        *("landmarks/mediapipe", "parsing/regions", "captions/action_units", "attention/demo"),
        *("visual_features/demo", "text_embeddings/refined", "teacher_embeddings/captions"),
    ],
    "stages": {
        "frames": {"native": {}},
        "faces": {"mediapipe": {"frames": "native", "detector": "mediapipe"}},
        "landmarks": {"mediapipe": FACES | {"detector": "mediapipe"}},
        "parsing": {"regions": FACES | {"parser": "regions", "landmarks": "mediapipe"}},
        "captions": {"action_units": {"captioner": "action_units", "landmarks": "mediapipe"}},
        "visual_features": {"demo": FACES | BACKBONE},
        "attention": {"demo": FACES | BACKBONE},
        "text_embeddings": {
            "refined": BACKBONE | {"source": "captions.refined", "captions": "action_units"}
        },
        "teacher_embeddings": {"captions": BACKBONE | {"teacher": "caption_text"}},
    },
    "models": {
        name: {
            "method": name,
            "dataset": "scale",
            "protocol": protocol,
            "scheme": "folds",
            "stores": {"visual_features": "demo"} | texts,
        }
        for name, protocol, texts in (
            ("linear", "supervised", {}),
            ("emoclip", "zero_shot", {"text_embeddings": "refined"}),
            ("expclip", "zero_shot", {"teacher_embeddings": "captions"}),
        )
    },
    "evaluations": {
        "supervised": {"protocol": "supervised", "models": ["linear"], "dataset": "scale"},
        "names": {
            "protocol": "zero_shot",
            "models": ["emoclip", "expclip"],
            "dataset": "scale",
            "prompts": "names",
        },
    },
}
TABLE = {
    "title": "Scale",
    "rows": [
        {"title": "Linear probe", "cells": {"Scale": "linear/supervised"}},
        {"title": "EmoCLIP", "cells": {"Scale": "emoclip/names"}},
        {"title": "Exp-CLIP", "cells": {"Scale": "expclip/names"}},
    ],
}
MILLION = 1_000_000
# what a stage's job does before it looks at a clip
PRETEND = """
from pathlib import Path
import pyarrow as pa
from expressway import stages
from expressway.core.files import write_json
from expressway.core.store import ShardWriter, write_table
from expressway.planning import paths, settings
from expressway.planning.outputs import Outputs
from expressway.planning.plan import Plan
from expressway.planning.records import MADE_OF, note

outputs = Outputs(Plan(settings.load(Path("config/config.yaml"))))
for output in outputs.with_upstream(outputs.everything()):
    path, made_of = Path(output.path), {MADE_OF: outputs.record(output)}
    if output.rule in stages.NAMES:
        with ShardWriter(path, pa.schema([]), made_of) as writer:
            for clip, key in output.row_keys().items():
                writer.write({"clip_id": clip, "status": "ok"}, key)
    elif path.suffix == ".parquet":
        write_table(path, pa.table({}), made_of)
    else:
        write_json(path, {**made_of, "weights_sha256": ""})
        note(output.path, made_of[MADE_OF])
"""
JOB = """from pathlib import Path
from expressway.planning import settings
from expressway.planning.plan import Plan
plan = Plan(settings.load(Path("config/config.yaml")))
plan.stores.expectation("scale", "faces", "mediapipe", "00000")
"""


@dataclass(frozen=True)
class Cost:
    """Seconds of the clock and of the CPU, and the highest resident memory in MB."""

    wall: float
    cpu: float
    peak: float


@dataclass(frozen=True)
class Measured:
    """Cost per repeat of every command, and how many shards a change makes again."""

    jobs: int
    costs: Mapping[str, Sequence[Cost]]
    again: Mapping[str, str]


def main() -> None:
    """Print the costs of every size, and the line through the smallest and the largest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[4000, 40_000])
    parser.add_argument("--shard-size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    options = parser.parse_args()
    found = {}
    for clips in options.clips:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            project = Project(Path(name), clips, options.shard_size)
            found[clips] = project.measured(options.repeats)
        print_size(clips, options.shard_size, found[clips])
    if len(found) > 1:
        print_growth(found)


class Project:
    """A folder with the workflow, a configuration of every stage, and a generated data set."""

    def __init__(self, folder: Path, clips: int, shard_size: int) -> None:
        self.folder, self.clips, self.shard_size = folder, 0, shard_size
        for name in LINKED:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(ROOT / name)
        for name in COPIED:
            shutil.copytree(ROOT / name, folder / name)
        (folder / "config/tables").mkdir()
        shutil.copy(ROOT / "config/tables/published.csv", folder / "config/tables")
        self._yaml("config/config.yaml", CONFIG)
        self._yaml("config/tables/scale.yaml", TABLE)
        self._yaml("config/datasets/scale.yaml", DATASET | {"shard_size": shard_size})
        (folder / "videos").mkdir()
        self._table("manifest", [("id", "path", "subject", "emotion")])
        self._table("splits", [("clip_id", "scheme", "split", "part")])
        self.append(clips)

    def _yaml(self, name: str, values: Mapping[str, object]) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(dict(values)), "utf-8")

    def _table(self, name: str, rows: Sequence[Sequence[str]]) -> None:
        path = self.folder / "data/scale" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", newline="") as handle:
            csv.writer(handle, lineterminator="\n").writerows(rows)

    def append(self, clips: int) -> None:
        """Add clips: files, rows of the manifest, and their part in each of five folds."""
        numbers = range(self.clips, self.clips + clips)
        self.clips += clips
        for number in numbers:
            folder = self.folder / "videos" / f"{number // 1000:04d}"
            folder.mkdir(exist_ok=True)
            (folder / f"{number:07d}.mp4").write_text(str(number))
        self._table(
            "manifest",
            [
                (f"{n:07d}", f"{n // 1000:04d}/{n:07d}.mp4", f"s{n % 500}", BASIC[n % 7])
                for n in numbers
            ],
        )
        self._table(
            "splits",
            [
                (f"{n:07d}", "folds", f"fold{fold}", "test" if n % 5 == fold - 1 else "train")
                for n in numbers
                for fold in range(1, 6)
            ],
        )

    def measured(self, repeats: int) -> Measured:
        """Measure every command; change the project in between."""
        validate = (sys.executable, "-m", "expressway", "validate")
        costs: dict[str, list[Cost]] = {"first validation": [self._run(*validate)[0]]}
        again: dict[str, str] = {}

        def repeat(name: str, *command: str) -> str:
            runs = [self._run(*command) for _ in range(repeats)]
            costs[name] = [cost for cost, _ in runs]
            return runs[-1][1]

        repeat("validation", *validate)
        repeat("start of a job", sys.executable, "-c", JOB)
        text = repeat("dry run", "snakemake", "-n")
        jobs = job_counts(text)
        self._pretend_done()
        idle = repeat("nothing changed", "snakemake", "-n")
        assert "Nothing to be done" in idle, idle[-2000:]
        for name, clips in (("one clip more", 1), ("1 % more", self.clips // 100)):
            self.append(clips)
            counted = job_counts(repeat(name, "snakemake", "-n"))
            most = max(counted[stage] for stage in stages.NAMES)
            again[name] = f"{most} of {jobs['frames']} shards of a stage"
        return Measured(sum(jobs.values()), costs, again)

    def _pretend_done(self) -> None:
        """Lay small files where the outputs would be, each saying what it was made of."""
        self._run(sys.executable, "-c", PRETEND)

    def _run(self, *command: str, **variables: str) -> tuple[Cost, str]:
        """Run a command to its end; return what it and its children took, and its output."""
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder / "src"),
            "HOME": str(self.folder),
            **variables,
        }
        log = self.folder / "log.txt"
        begun = time.perf_counter()
        with log.open("w") as handle:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdout=handle,
                stderr=subprocess.STDOUT,
            )
            _, status, usage = os.wait4(process.pid, 0)
        wall, text = time.perf_counter() - begun, log.read_text("utf-8")
        if status:
            raise SystemExit(f"{' '.join(command)}:\n{text[-4000:]}")
        return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), text


def job_counts(text: str) -> Counter[str]:
    """Read Snakemake's table of job statistics."""
    table = re.search(r"^job +count\n-+ +-+\n(.*?)^total", text, re.MULTILINE | re.DOTALL)
    rows = (line.split() for line in (table[1] if table else "").splitlines() if line.strip())
    return Counter({rule: int(number) for rule, number in rows})


def middle(costs: Sequence[Cost], pick: Callable[[Cost], float]) -> float:
    return statistics.median(pick(cost) for cost in costs)


def print_size(clips: int, shard_size: int, found: Measured) -> None:
    """Print what every command took, lowest / median / highest over the repeats."""
    print(f"\n{clips:,} clips, shards of {shard_size}, {found.jobs:,} jobs")
    print(f"{'':17}{'CPU s':>22}{'clock s':>22}{'peak MB':>9}  made again")
    for name, costs in found.costs.items():
        columns = "".join(
            f"{' / '.join(f'{v:.1f}' for v in (values[0], middle(costs, pick), values[-1])):>22}"
            for pick in (lambda c: c.cpu, lambda c: c.wall)
            for values in [sorted(map(pick, costs))]
        )
        peak = max(cost.peak for cost in costs)
        print(f"{name:17}{columns}{peak:9.0f}  {found.again.get(name, '')}".rstrip())


def print_growth(found: Mapping[int, Measured]) -> None:
    """Print the slope between the smallest and the largest size, and the line's end."""
    small, large = min(found), max(found)
    print(f"\n{'growth':17}{'CPU us per clip':>17}{'KB per clip':>13}{'ratio':>8}   at a million")
    print(f"{'':38}{'':10}{'(CPU)':>8}")
    for name in found[small].costs:
        low, high = found[small].costs[name], found[large].costs[name]
        cpu, peak = (
            [middle(costs, pick) for costs in (low, high)]
            for pick in (lambda c: c.cpu, lambda c: c.peak)
        )
        slopes = [(pair[1] - pair[0]) / (large - small) for pair in (cpu, peak)]
        ends = [
            pair[1] + s * (MILLION - large) for pair, s in zip((cpu, peak), slopes, strict=True)
        ]
        shown = f"{ends[0]:.0f} s CPU, {ends[1] / 1024:.1f} GB"
        print(
            f"{name:17}{1e6 * slopes[0]:17.0f}{1024 * slopes[1]:13.1f}{cpu[1] / cpu[0]:8.1f}"
            f"   {shown}"
        )
    print(f"ratio: {large:,} clips over {small:,}; {large / small:.0f} would be proportional")


if __name__ == "__main__":
    main()
