"""``expressway adopt``: outputs that came by ``dvc pull`` or a clone become current again.

Snakemake knows files by modification times and by its own records; after a clone the times are
random and the records are missing. Footers say what each shard table was made of: those that
match today's fingerprints, and whose upstream tables match too, are touched in order; nothing
else is.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from expressway.datasets import shard_path
from expressway.errors import ExpresswayError, StoreError
from expressway.plan import Plan
from expressway.store import read_footer

LEDGER = Path("state/accepted.jsonl")


@dataclass
class Adopted:
    """Paths by outcome."""

    current: list[str] = field(default_factory=list)
    stale: list[tuple[str, str]] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{len(self.current)} file(s) adopted"]
        if self.accepted:
            lines.append(f"{len(self.accepted)} of them on your word, noted in {LEDGER}")
        lines += [f"not adopted: {path}: {reason}" for path, reason in self.stale]
        return "\n".join(lines)


def adopt(plan: Plan, accept: Sequence[str] = ()) -> Adopted:
    """Touch what its footer proves to be current; name the rest.

    Args:
        accept: stages whose changed fingerprints the user vouches for.
    """
    found = Adopted()
    for dataset in plan.settings.datasets:
        for stage, variant in plan.stores(dataset):
            for shard in plan.dataset(dataset).shards:
                _judge(plan, dataset, stage, variant, shard, accept, found)
    found.current += _results(plan, {path for path, _ in found.stale})
    _touch(found.current)
    _note(found.accepted)
    return found


def _judge(
    plan: Plan,
    dataset: str,
    stage: str,
    variant: str,
    shard: str,
    accept: Sequence[str],
    found: Adopted,
) -> None:
    path = shard_path(dataset, stage, variant, shard)
    if not Path(path).exists():
        return
    try:
        footer = read_footer(Path(path))
    except StoreError as error:
        found.stale.append((path, str(error)))
        return
    stale = {name for name, _ in found.stale}
    above = [p for p in plan.shard_inputs(dataset, stage, variant, shard) if p in stale]
    if above:
        found.stale.append((path, f"made from {above[0]}, which is stale"))
    elif footer.get("rows") != plan.rows(dataset, stage, variant, shard):
        found.stale.append((path, "other manifest rows"))
    elif footer.get("fingerprint") == plan.fingerprint(dataset, stage, variant):
        found.current.append(path)
    elif stage in accept:
        found.current.append(path)
        found.accepted.append(path)
    else:
        found.stale.append((path, f"code or configuration changed (or: adopt --accept {stage})"))


def _results(plan: Plan, stale: set[str]) -> Iterator[str]:
    """Yield what stands on the stores: coverage, models whose card matches, their results."""
    fresh = {name for name in plan.settings.datasets if not _touches(stale, name)}
    for dataset in sorted(fresh):
        yield from (path for path in plan.coverage_paths(dataset) if Path(path).exists())
    for model, config in plan.settings.models.items():
        if config.dataset not in fresh:
            continue
        for split in plan.splits(model):
            for seed in config.seeds:
                yield from _model_files(plan, model, split, seed)
    if not stale:
        pages = [*plan.comparison_paths, *map(str, sorted(Path("results/tables").glob("*")))]
        yield from (path for path in [*pages, "results/report/index.html"] if Path(path).exists())


def _touches(stale: set[str], dataset: str) -> bool:
    return any(path.startswith(f"results/{dataset}/") for path in stale)


def _model_files(plan: Plan, model: str, split: str, seed: int) -> Iterator[str]:
    folder = Path(f"results/models/{model}/{split}-seed{seed}")
    card = folder / "model.json"
    if not card.exists() or not (folder / "model.safetensors").exists():
        return
    made_of = f"{plan.model_fingerprint(model)}-{plan.model_rows(model, split)}"
    if json.loads(card.read_text("utf-8")).get("fingerprint") != made_of:
        return
    yield str(folder / "model.safetensors")
    yield str(card)
    for name, evaluation in plan.settings.evaluations.items():
        if model in evaluation.models:
            results = Path(f"results/evaluations/{model}/{split}-seed{seed}/{name}")
            for path in (results / "predictions.parquet", results / "metrics.json"):
                if path.exists():
                    yield str(path)


def _touch(paths: Sequence[str]) -> None:
    """Let Snakemake touch and record exactly these files, in its own order."""
    if not paths:
        return
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--touch", "--quiet", "all"]
    done = subprocess.run([*command, "--", *paths], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ExpresswayError(f"snakemake --touch failed:\n{done.stderr[-2000:]}")


def _note(paths: Sequence[str]) -> None:
    if paths:
        LEDGER.parent.mkdir(parents=True, exist_ok=True)
        entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "accepted": list(paths)}
        with LEDGER.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(entry) + "\n")
