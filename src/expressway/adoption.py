"""``expressway adopt``: outputs that came by ``dvc pull`` or a clone become current again.

Snakemake knows files by modification times and by its own records; after a clone the times are
random and the records are missing. Footers and model cards say what each file was made of: what
matches today's fingerprints, and stands on files that match, is touched and recorded. The rest is
set aside (``NAME.stale``), since Snakemake without a record could take it for current.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from expressway.datasets import shard_path
from expressway.errors import ExpresswayError, StoreError
from expressway.graph import ADOPTING
from expressway.plan import Plan
from expressway.store import read_footer

LEDGER = Path("state/accepted.jsonl")
ASIDE = ".stale"


@dataclass
class Adopted:
    """Files by outcome; ``stale`` maps a file to the reason."""

    current: list[str] = field(default_factory=list)
    stale: dict[str, str] = field(default_factory=dict)
    accepted: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{len(self.current)} file(s) adopted"]
        if self.accepted:
            lines.append(f"{len(self.accepted)} of them on your word, noted in {LEDGER}")
        lines += [f"not adopted: {path}: {reason}" for path, reason in self.stale.items()]
        if self.stale:
            lines.append(f"what was not adopted is set aside as *{ASIDE}")
        return "\n".join(lines)


def adopt(plan: Plan, accept: Sequence[str] = ()) -> Adopted:
    """Touch what its footer proves to be current; name the rest and set it aside.

    Args:
        accept: stages whose changed fingerprints the user vouches for.
    """
    _take_back()
    found = Adopted()
    for dataset in plan.settings.datasets:
        for stage, variant in plan.stores(dataset):
            for shard in plan.dataset(dataset).shards:
                _judge_shard(plan, (dataset, stage, variant, shard), accept, found)
        _judge_coverage(plan.coverage_paths(dataset), found)
    for model in plan.settings.models:
        for split, seed in plan.split_seeds(model):
            _judge_model(plan, model, split, seed, found)
    _sort(_pages(plan), not found.stale, found)
    for path in found.stale:
        Path(path).rename(path + ASIDE)
    _touch(found.current)
    _note(found.accepted)
    return found


def _take_back() -> None:
    """Undo an earlier setting aside, unless the file was made again meanwhile."""
    for aside in Path("results").rglob(f"*{ASIDE}"):
        path = aside.with_name(aside.name.removesuffix(ASIDE))
        if path.exists():
            aside.unlink()
        else:
            aside.rename(path)


def _judge_shard(
    plan: Plan, name: tuple[str, str, str, str], accept: Sequence[str], found: Adopted
) -> None:
    path, stage = shard_path(*name), name[1]
    if not Path(path).exists():
        return
    try:
        footer = read_footer(Path(path))
    except StoreError as error:
        found.stale[path] = str(error)
        return
    above = [each for each in plan.shard_inputs(*name) if each in found.stale]
    if above:
        found.stale[path] = f"made from {above[0]}, which is stale"
    elif footer.get("rows") != plan.rows(*name):
        found.stale[path] = "other manifest rows"
    elif footer.get("fingerprint") == plan.fingerprint(*name[:3]):
        found.current.append(path)
    elif stage in accept:
        found.current.append(path)
        found.accepted.append(path)
    else:
        found.stale[path] = f"code or configuration changed (or: adopt --accept {stage})"


def _judge_coverage(paths: Sequence[str], found: Adopted) -> None:
    """A store's coverage is as current as its shards; left in place it would hide their absence."""
    for path in paths:
        if Path(path).exists():
            store = path.removesuffix("coverage.json")
            _sort([path], not any(each.startswith(store) for each in found.stale), found)


def _judge_model(plan: Plan, model: str, split: str, seed: int, found: Adopted) -> None:
    """Judge a trained model by its card, then its predictions by their footers."""
    folder = Path(f"results/models/{model}/{split}-seed{seed}")
    files = [str(folder / name) for name in ("model.safetensors", "model.json")]
    if all(Path(path).exists() for path in files):
        stores = [path for paths in plan.training_stores(model, split).values() for path in paths]
        card = json.loads((folder / "model.json").read_text("utf-8"))
        current = card.get("fingerprint") == plan.model_expectation(model, split)
        _sort(files, current and not found.stale.keys() & stores, found)
    for name, evaluation in plan.settings.evaluations.items():
        if model in evaluation.models:
            results = Path(f"results/evaluations/{model}/{split}-seed{seed}/{name}")
            _judge_results(plan, (model, name, split), results, files[0] in found.current, found)


def _judge_results(
    plan: Plan, name: tuple[str, str, str], folder: Path, model_is_current: bool, found: Adopted
) -> None:
    predictions = folder / "predictions.parquet"
    if not predictions.exists():
        return
    made_of: Any = read_footer(predictions).get("made_of")
    expected = [plan.model_expectation(name[0], name[2]), plan.evaluation_fingerprint(*name)]
    files = [str(path) for path in (predictions, folder / "metrics.json") if path.exists()]
    _sort(files, model_is_current and made_of == expected, found)


def _sort(files: Sequence[str], current: bool, found: Adopted) -> None:
    if current:
        found.current += files
    else:
        found.stale |= dict.fromkeys(files, "made of something else, or of something stale")


def _pages(plan: Plan) -> list[str]:
    """Return what is computed from everything: comparisons, tables, the report."""
    tables = [str(path) for path in sorted(Path("results/tables").glob("*.*"))]
    pages = [*plan.comparison_paths, *tables, "results/report/index.html"]
    return [path for path in pages if Path(path).exists()]


def _touch(paths: Sequence[str]) -> None:
    """Let Snakemake touch and record exactly these files, in its own order.

    Forced, since files whose times happen to be in order would get no record otherwise.
    """
    if not paths:
        return
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--touch", "--force"]
    environment = {**os.environ, ADOPTING: "1"}
    done = subprocess.run(
        [*command, "--quiet", "progress", "--", *paths],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ExpresswayError(f"snakemake --touch failed:\n{done.stderr[-2000:]}")


def _note(paths: Sequence[str]) -> None:
    if paths:
        LEDGER.parent.mkdir(parents=True, exist_ok=True)
        entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "accepted": list(paths)}
        with LEDGER.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(entry) + "\n")
