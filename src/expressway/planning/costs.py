"""``expressway plan``: what a run would do and cost, before anything runs.

Rates are measured: those of earlier jobs on this machine (Snakemake's benchmark files) where
there are any, else those in ``rates.csv`` (no GPU; clips of 37 frames of 224 pixels): the demo's,
and benchmarks/towers.py for CLIP's usual sizes. A rate that nobody measured is not guessed.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from expressway.core.job_times import Job, jobs
from expressway.core.manifest import Clip
from expressway.core.stage import StageConfig
from expressway.core.store import read_footer
from expressway.planning import paths
from expressway.planning.outputs import Output, Outputs
from expressway.planning.plan import Plan, narrowed
from expressway.planning.staleness import Staleness

RATES = Path(__file__).with_name("rates.csv")
NETWORK_KEYS = ("backbone", "model", "detector")
RATED_FRAMES = 37
HERE, SHIPPED, UNKNOWN = "measured here", "shipped rate", "not measured"


@dataclass(frozen=True)
class Rate:
    """The cost of one clip; None where nobody measured. ``gpu_seconds``: 0 without a GPU."""

    cpu_seconds: float | None
    bytes: float | None
    source: str
    gpu_seconds: float = 0.0


@dataclass(frozen=True)
class Cost:
    """A line of the plan: what is made, how much of it is there, what the rest costs."""

    what: str
    jobs: int
    done: int
    hours: float | None
    gigabytes: float | None
    source: str
    gpu_hours: float = 0.0


def describe(plan: Plan, table: str | None = None) -> str:
    """Return the plan as text; with ``table``, only what that table needs.

    Raises:
        ConfigError: there is no such table.
    """
    chosen = narrowed(plan, table) if table else plan
    costs = [*stores(chosen), *models(chosen), *evaluations(chosen)]
    lines = [
        _columns("what", "jobs", "there", "CPU hours", "GPU hours", "GB", "rate"),
        *(_line(cost) for cost in costs),
        _line(_total(costs)),
    ]
    unknown = sum(cost.hours is None and cost.jobs > cost.done for cost in costs)
    if unknown:
        lines.append(
            f"{unknown} line(s) are not measured and no part of the sum; after one job of each, "
            "its rate is known"
        )
    lines.append("CPU hours are of one core; GPU hours are known of stores that a GPU has begun")
    return "\n".join(lines)


def stores(plan: Plan) -> list[Cost]:
    """Return the stores of all data sets of a plan."""
    found = []
    outputs = Outputs(plan)
    staleness = Staleness(outputs)
    for name in plan.settings.datasets:
        dataset = plan.dataset(name)
        for stage, variant in plan.stores.of_dataset(name):
            shards = [outputs.shard(name, stage, variant, s) for s in dataset.shards]
            todo = [Path(each.path).stem for each in shards if not staleness.is_current(each)]
            rate = store_rate(name, stage, variant, plan.configuration.variant(stage, variant))
            clips = sum(_clips(dataset.rows(s), rate) for s in todo)
            found.append(
                Cost(
                    f"{name}: {stage}/{variant}",
                    len(shards),
                    len(shards) - len(todo),
                    None if rate.cpu_seconds is None else rate.cpu_seconds * clips / 3600,
                    None if rate.bytes is None else rate.bytes * clips / 1e9,
                    rate.source,
                    rate.gpu_seconds * clips / 3600,
                )
            )
    return found


def _clips(clips: Iterable[Clip], rate: Rate) -> float:
    """Return how many clips the rate counts: a shipped rate takes an image for one frame."""
    image = 1.0 if rate.source == HERE else 1 / RATED_FRAMES
    return sum(image if clip.kind == "image" else 1.0 for clip in clips)


def store_rate(dataset: str, stage: str, variant: str, config: StageConfig) -> Rate:
    """Return the cost of one clip: this store's own where some is there, else a shipped one."""
    folder = Path(paths.store(dataset, stage, variant))
    shards = sorted(folder.glob("[0-9]*.parquet"))
    times = [paths.BENCHMARKS / dataset / stage / variant / f"{path.stem}.tsv" for path in shards]
    seconds = _seconds(times)
    if shards and seconds:
        rows = sum(_rows(path) for path in shards)
        on_gpu = read_footer(shards[-1]).get("device", "cpu") != "cpu"
        return Rate(
            sum(seconds) / rows,
            sum(path.stat().st_size for path in shards) / rows,
            HERE,
            sum(job.seconds for job in _ran(times)) / rows if on_gpu else 0.0,
        )
    with RATES.open(newline="", encoding="utf-8") as file:
        known = {(line["stage"], line["network"]): line for line in csv.DictReader(file)}
    line = known.get((stage, network(config)))
    if line is None:
        return Rate(None, None, UNKNOWN)
    return Rate(float(line["cpu_seconds_per_clip"]), float(line["bytes_per_clip"]), SHIPPED)


def network(config: StageConfig) -> str:
    """Return the network that a variant runs, which decides what it costs; empty: none."""
    values = config.model_dump()
    options = [values, *(values.get(name) or {} for name in ("transformers", "openai"))]
    found = [each[key] for each in options for key in NETWORK_KEYS if each.get(key)]
    return str(found[0]) if found else ""


def _rows(shard: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(shard).num_rows)


def models(plan: Plan) -> list[Cost]:
    """Return the training runs of a plan; hours are those of runs of the same model."""
    found = []
    outputs = Outputs(plan)
    staleness = Staleness(outputs)
    for name in plan.settings.models:
        runs = [outputs.model(name, *run) for run in plan.models.runs(name)]
        done = sum(map(staleness.is_current, runs))
        seconds = _seconds((paths.BENCHMARKS / "models" / name).glob("*.tsv"))
        hours = mean(seconds) * (len(runs) - done) / 3600 if seconds else None
        source = HERE if seconds else UNKNOWN
        found.append(Cost(f"model {name}", len(runs), done, hours, None, source))
    return found


def evaluations(plan: Plan) -> list[Cost]:
    """Return the evaluations of a plan: two jobs each, predictions and metrics."""
    found = []
    outputs = Outputs(plan)
    staleness = Staleness(outputs)
    for name, evaluation in plan.settings.evaluations.items():
        results = [r for model in evaluation.models for r in plan.evaluations.results(model, name)]
        there = [make(*r) for r in results for make in (outputs.predictions, outputs.metrics)]
        tables = paths.BENCHMARKS / "evaluations"
        seconds = _seconds(
            path for model in evaluation.models for path in (tables / model).glob(f"*/{name}*.tsv")
        )
        done = sum(map(staleness.is_current, there))
        hours = mean(seconds) * (len(there) - done) / 3600 if seconds else None
        source = HERE if seconds else UNKNOWN
        found.append(Cost(f"evaluation {name}", len(there), done, hours, None, source))
    return found


def job_hours(output: Output) -> float | None:
    """Return the CPU hours of a job as it ran before, or as others of its folder did."""
    place = Path(output.path).relative_to(paths.RESULTS).with_suffix(".tsv")
    if output.rule in ("train", "predict", "evaluate"):
        suffix = ".predict.tsv" if output.rule == "predict" else ".tsv"
        place = place.parent.with_name(place.parent.name + suffix)
    if output.rule in ("report", "tables"):
        place = Path(f"{output.rule}.tsv")
    own = paths.BENCHMARKS / place
    seconds = _seconds([own] if own.is_file() else sorted(own.parent.glob("*.tsv")))
    return mean(seconds) / 3600 if seconds else None


def _seconds(files: Iterable[Path]) -> list[float]:
    """Return the CPU seconds of jobs, the wall time where a job was too short to be sampled."""
    return [job.cpu or job.seconds for job in _ran(files)]


def _ran(files: Iterable[Path]) -> list[Job]:
    return [job for path in files if path.is_file() for job in jobs(path)]


def _total(costs: Sequence[Cost]) -> Cost:
    return Cost(
        "together",
        sum(cost.jobs for cost in costs),
        sum(cost.done for cost in costs),
        sum(cost.hours or 0 for cost in costs),
        sum(cost.gigabytes or 0 for cost in costs),
        "",
        sum(cost.gpu_hours for cost in costs),
    )


def _line(cost: Cost) -> str:
    hours = "?" if cost.hours is None else f"{cost.hours:.2f}"
    gpu = f"{cost.gpu_hours:.2f}" if cost.gpu_hours else ""
    size = "" if cost.gigabytes is None else f"{cost.gigabytes:.2f}"
    return _columns(cost.what, str(cost.jobs), str(cost.done), hours, gpu, size, cost.source)


def _columns(what: str, jobs: str, there: str, hours: str, gpu: str, size: str, rate: str) -> str:
    return f"{what:<44} {jobs:>6} {there:>6} {hours:>10} {gpu:>10} {size:>8}  {rate}"
