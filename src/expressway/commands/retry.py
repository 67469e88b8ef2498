"""Compute failed rows of finished shards again.

For faults that pass by: a machine that was too slow, a disk that was away, a caption server that
refused. What stands on a changed shard becomes stale, and the next run of snakemake makes it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from expressway import stages
from expressway.commands._options import CONFIG, ConfigOption, load_plan
from expressway.commands.stage import stage_job
from expressway.core import devices
from expressway.core.config import nearest
from expressway.core.errors import STATUSES, USABLE, ConfigError, ExpresswayError
from expressway.core.journal import Journal
from expressway.core.rows import Job, identities
from expressway.core.runner import outcomes
from expressway.core.stage import Outcome
from expressway.core.store import ShardReader, ShardWriter
from expressway.planning import paths
from expressway.planning.plan import Plan
from expressway.planning.records import record

LOCKS = Path(".snakemake/locks")
FAILURES = tuple(status for status in STATUSES if status not in USABLE)


def retry(
    plan: Plan,
    stage: str,
    statuses: Sequence[str],
    dataset: str | None = None,
    cores: int = 1,
    gpus: int = 0,
) -> Iterator[str]:
    """Compute the rows of a stage that ended in one of ``statuses``; yield a line per shard.

    Raises:
        ConfigError: there is no such stage or status, or a shard is stale.
        ExpresswayError: a run of snakemake holds the folder.
    """
    _check(stage, statuses)
    with devices.claim(gpus) as device:
        for name in _shards(plan, stage, dataset):
            again = _rows(Path(paths.shard(*name)), statuses)
            if again:
                _check_current(plan, name)
                counts = compute(stage_job(plan, name, cores, device), again)
                told = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
                yield f"{paths.shard(*name)}: {len(again)} row(s) again: {told}"


def _check(stage: str, statuses: Sequence[str]) -> None:
    if stage not in stages.NAMES:
        raise ConfigError(f"no stage {stage!r}{nearest(stage, stages.NAMES)}")
    for status in statuses:
        if status not in FAILURES:
            known = ", ".join(FAILURES)
            raise ConfigError(f"no failure {status!r}{nearest(status, FAILURES)}; known: {known}")
    if any(LOCKS.glob("*")):
        raise ExpresswayError(
            "a run of snakemake holds this folder; wait for it (or see: expressway doctor)"
        )


def _shards(plan: Plan, stage: str, dataset: str | None) -> Iterator[tuple[str, str, str, str]]:
    for name in [dataset] if dataset else plan.settings.datasets:
        for each, variant in plan.stores.of_dataset(name):
            for shard in plan.dataset(name).shards if each == stage else ():
                yield name, stage, variant, shard


def _rows(path: Path, statuses: Sequence[str]) -> list[int]:
    """Return the places of the rows to compute; none where there is no shard yet."""
    if not path.exists():
        return []
    states = ShardReader(path).states
    return [index for index, state in enumerate(states) if state["status"] in statuses]


def _check_current(plan: Plan, name: tuple[str, str, str, str]) -> None:
    made_of = record(paths.shard(*name)) or {}
    if f"{made_of.get('fingerprint')}-{made_of.get('rows')}" != plan.stores.expectation(*name):
        raise ConfigError(
            f"{paths.shard(*name)}: code, configuration or manifest changed since it was made; "
            "run snakemake, which computes all its rows again"
        )


def compute(job: Job, again: Sequence[int]) -> Counter[str]:
    """Compute the rows at ``again`` of a published shard; return their new statuses.

    The shard is written anew only when a row ended otherwise than before, so that nothing
    becomes stale in vain. Its footer stays and notes what was retried.
    """
    earlier = ShardReader(job.output)
    _forget(job, again)
    found = dict(zip(again, outcomes(job, again), strict=True))
    counts = Counter(outcome.get("status", "ok") for outcome in found.values())
    if any(_state(found[index]) != _state(earlier.states[index]) for index in again):
        _publish(job, earlier, found)
    return counts


def _state(row: Any) -> tuple[Any, ...]:
    return row.get("status", "ok"), row.get("error_type"), row.get("error_message")


def _forget(job: Job, again: Sequence[int]) -> None:
    """Refusals are final answers to an interrupted job, but not here."""
    if job.stage.journal and job.journal is not None:
        made_of = identities(job)
        journal = Journal(job.journal, job.stage.schema(job.config))
        for index in again:
            journal.forget(made_of[index])
        journal.close()


def _publish(job: Job, earlier: ShardReader, found: dict[int, Outcome]) -> None:
    done = [*earlier.footer.get("retried", []), {"rows": len(found), **job.footer["program"]}]
    footer = {**earlier.footer, "retried": done}
    fields = job.stage.schema(job.config)
    with ShardWriter(job.output, fields, footer, images=job.stage.images) as writer:
        for index, clip in enumerate(job.clips):
            if index in found:
                row = {"status": "ok", **found[index], "clip_id": clip.id}
                writer.write(row, earlier.identities[index])
            else:
                writer.copy(earlier, index)


def command(
    stage: Annotated[str, typer.Option(help="frames, faces, captions, ...")],
    status: Annotated[str, typer.Option(help="statuses with commas: timeout,unreadable")],
    dataset: Annotated[str | None, typer.Option(help="one data set only")] = None,
    cores: Annotated[int, typer.Option(help="worker processes")] = 1,
    gpus: Annotated[int, typer.Option(help="cards to use; 0: the CPU")] = 0,
    config: ConfigOption = CONFIG,
) -> None:
    """Compute failed rows of finished shards again; the others stay as they are."""
    for line in retry(load_plan(config), stage, status.split(","), dataset, cores, gpus):
        print(line)
    print("next: snakemake makes what stands on the changed shards")
