"""``expressway plan``: what a run would do and cost, before anything runs.

Rates are measured: those of earlier jobs on this machine (Snakemake's benchmark files) where
there are any, else those of the demo world in ``rates.csv`` (2 cores, no GPU; 37 frames of 224
pixels a clip, the tiny backbone). A rate that nobody measured is not guessed.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from expressway.datasets import shard_path
from expressway.plan import Plan, narrowed

RATES = Path(__file__).with_name("rates.csv")
BENCHMARKS = Path("logs/benchmarks")
HERE, DEMO, UNKNOWN = "measured here", "demo's rate", "not measured"


@dataclass(frozen=True)
class Rate:
    """The cost of one clip (a store) or one run (a model); None where nobody measured."""

    cpu_seconds: float | None
    bytes: float | None
    source: str


@dataclass(frozen=True)
class Cost:
    """A line of the plan: what is made, how much of it is there, what the rest costs."""

    what: str
    jobs: int
    done: int
    hours: float | None
    gigabytes: float | None
    source: str


def describe(plan: Plan, table: str | None = None) -> str:
    """Return the plan as text; with ``table``, only what that table needs.

    Raises:
        ConfigError: there is no such table.
    """
    chosen = narrowed(plan, table) if table else plan
    costs = [*stores(chosen), *models(chosen), *evaluations(chosen)]
    lines = [
        f"{'what':<44} {'jobs':>6} {'there':>6} {'CPU hours':>10} {'GB':>8}  rate",
        *(_line(cost) for cost in costs),
        _line(_total(costs)),
    ]
    unknown = [cost.what for cost in costs if cost.hours is None and cost.jobs > cost.done]
    if unknown:
        lines.append(
            f"not measured yet: {', '.join(unknown)}; after one job of each, its rate is known"
        )
    lines.append("hours are of one core; stages and training that use a GPU take fewer there")
    return "\n".join(lines)


def stores(plan: Plan) -> list[Cost]:
    """Return the stores of all data sets of a plan."""
    found = []
    for name in plan.settings.datasets:
        dataset = plan.dataset(name)
        for stage, variant in plan.stores(name):
            paths = {s: Path(shard_path(name, stage, variant, s)) for s in dataset.shards}
            todo = sum(len(dataset.rows(s)) for s, path in paths.items() if not path.exists())
            rate = store_rate(name, stage, variant)
            found.append(
                Cost(
                    f"{name}: {stage}/{variant}",
                    len(paths),
                    sum(path.exists() for path in paths.values()),
                    None if rate.cpu_seconds is None else rate.cpu_seconds * todo / 3600,
                    None if rate.bytes is None else rate.bytes * todo / 1e9,
                    rate.source,
                )
            )
    return found


def store_rate(dataset: str, stage: str, variant: str) -> Rate:
    """Return the cost of one clip: this store's own where some is there, else the demo's."""
    folder = Path("results") / dataset / stage / variant
    shards = sorted(folder.glob("[0-9]*.parquet"))
    times = [BENCHMARKS / dataset / stage / variant / f"{path.stem}.tsv" for path in shards]
    seconds = _seconds(times)
    if shards and seconds:
        rows = sum(_rows(path) for path in shards)
        return Rate(sum(seconds) / rows, sum(p.stat().st_size for p in shards) / rows, HERE)
    with RATES.open(newline="", encoding="utf-8") as file:
        known = {line["stage"]: line for line in csv.DictReader(file)}
    if stage not in known:
        return Rate(None, None, UNKNOWN)
    line = known[stage]
    return Rate(float(line["cpu_seconds_per_clip"]), float(line["bytes_per_clip"]), DEMO)


def _rows(shard: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(shard).num_rows)


def models(plan: Plan) -> list[Cost]:
    """Return the training runs of a plan; hours are those of runs of the same model."""
    found = []
    for name in plan.settings.models:
        runs = plan.runs(name)
        folder = Path("results/models") / name
        done = sum((folder / run / "model.json").exists() for run in runs)
        seconds = _seconds((BENCHMARKS / "models" / name).glob("*.tsv"))
        hours = mean(seconds) * (len(runs) - done) / 3600 if seconds else None
        source = HERE if seconds else UNKNOWN
        found.append(Cost(f"model {name}", len(runs), done, hours, None, source))
    return found


def evaluations(plan: Plan) -> list[Cost]:
    """Return the evaluations of a plan: two jobs each, predictions and metrics."""
    found = []
    for name, evaluation in plan.settings.evaluations.items():
        folders = [
            Path(f) for model in evaluation.models for f in plan.evaluation_folders(model, name)
        ]
        there = [f / part for f in folders for part in ("predictions.parquet", "metrics.json")]
        tables = BENCHMARKS / "evaluations"
        seconds = _seconds(
            path for model in evaluation.models for path in (tables / model).glob(f"*/{name}*.tsv")
        )
        done = sum(path.exists() for path in there)
        hours = mean(seconds) * (len(there) - done) / 3600 if seconds else None
        source = HERE if seconds else UNKNOWN
        found.append(Cost(f"evaluation {name}", len(there), done, hours, None, source))
    return found


def _seconds(paths: Iterable[Path]) -> list[float]:
    """Return the CPU seconds of jobs, the wall time where a job was too short to be sampled."""
    found = []
    for path in paths:
        if not path.is_file():
            continue
        with path.open(newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file, delimiter="\t"):
                cpu = _number(line.get("cpu_time"))
                found.append(cpu or _number(line.get("s")) or 0.0)
    return found


def _number(value: str | None) -> float:
    try:
        return float(value or 0)
    except ValueError:
        return 0.0


def _total(costs: Sequence[Cost]) -> Cost:
    return Cost(
        "together",
        sum(cost.jobs for cost in costs),
        sum(cost.done for cost in costs),
        sum(cost.hours or 0 for cost in costs),
        sum(cost.gigabytes or 0 for cost in costs),
        "",
    )


def _line(cost: Cost) -> str:
    hours = "?" if cost.hours is None else f"{cost.hours:.2f}"
    size = "" if cost.gigabytes is None else f"{cost.gigabytes:.2f}"
    return f"{cost.what:<44} {cost.jobs:>6} {cost.done:>6} {hours:>10} {size:>8}  {cost.source}"
