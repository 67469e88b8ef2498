"""Runs a stage on a shard: rows out == rows in, in manifest order, whatever happens to clips.

A row that the store holds already, made of the same, is taken over as it is; the others are
computed, in worker processes or batches, and the shard is published whole.
"""

import stat
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from expressway.core import workers
from expressway.core.earlier_rows import EarlierRows
from expressway.core.errors import USABLE, RowFailure, StoreError
from expressway.core.fingerprints import package_versions
from expressway.core.journal import Journal
from expressway.core.rows import Job, RowReader, compute_rows, identities, matching_reader
from expressway.core.stage import Outcome, Row, RowFunction, failed
from expressway.core.store import ShardWriter

# Smaller calls keep all workers busy to the end; larger ones make what a call costs rarer.
CALLS_A_WORKER = 8
CALL_BYTES = 2 << 20
# Final answers; a timeout or a lost connection is asked again.
JOURNALLED = USABLE | {"refused", "invalid"}


def run(job: Job) -> Counter[str]:
    """Compute and publish one shard table; return how many rows ended in each status.

    Raises:
        SystemicError: a fault of the machine; nothing is published.
        StoreError: an input is damaged, or rows out differ from rows in.
    """
    footer = {
        "stage": job.stage.name,
        "config": job.config.model_dump(mode="json"),
        "packages": package_versions(job.stage.packages),
        **job.footer,
    }
    counts: Counter[str] = Counter()
    schema = job.stage.schema(job.config)
    made_of = identities(job)
    earlier = EarlierRows([job.output, *job.store], made_of)
    wanted = [index for index, identity in enumerate(made_of) if identity not in earlier]
    computed = outcomes(job, wanted, made_of)
    with ShardWriter(job.output, schema, footer, images=job.stage.images) as writer:
        for index, clip in enumerate(job.clips):
            if made_of[index] in earlier:
                status = earlier.copy(made_of[index], writer)
            else:
                row = {"status": "ok", **next(computed), "clip_id": clip.id}
                writer.write(row, made_of[index])
                status = row["status"]
            counts[status] += 1
            if not job.quiet:
                _progress(job, counts)
        if counts.total() != len(job.clips):
            raise StoreError(f"{job.output}: {counts.total()} rows for {len(job.clips)} clips")
    if not job.quiet:
        taken = len(made_of) - len(wanted)
        name = f"{job.stage.name} {job.output.stem}"
        print(f"{name}: {taken} taken over, {len(wanted)} computed", file=sys.stderr)
    return counts


def _progress(job: Job, counts: Counter[str]) -> None:
    done, total = counts.total(), len(job.clips)
    step = max(1, total // 10)
    if done % step == 0 or done == total:
        states = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
        print(f"{job.stage.name} {job.output.stem}: {done}/{total} ({states})", file=sys.stderr)


def outcomes(job: Job, indices: Sequence[int], made_of: Sequence[str] = ()) -> Iterator[Outcome]:
    """Compute the clips at ``indices``; yield their outcomes in that order.

    Args:
        made_of: identity of every row of the job, under which a journal keeps it.
    """
    if job.stage.parallel == "processes":
        for source in job.inputs.values():
            if source.path is not None:
                # a worker that finds a damaged shard would break the pool without saying why
                matching_reader(source.path, job)
        return _in_processes(job, indices)
    if job.stage.journal and job.journal is not None:
        return _journalled(job, job.journal, indices, made_of or identities(job))
    return _in_batches(job, indices)


def _journalled(
    job: Job, path: Path, indices: Sequence[int], made_of: Sequence[str]
) -> Iterator[Outcome]:
    """Yield outcomes in order; rows that an earlier, unfinished job paid for are not repeated."""
    journal = Journal(path, job.stage.schema(job.config))
    kept = {index: journal.get(made_of[index]) for index in indices}
    computed = _in_batches(job, [index for index, row in kept.items() if row is None])
    try:
        for index, row in kept.items():
            if row is not None:
                yield row
                continue
            outcome = next(computed)
            if outcome.get("status", "ok") in JOURNALLED:
                journal.put(made_of[index], {"status": "ok", "clip_id": "", **outcome})
            yield outcome
    finally:
        journal.close()


def _in_batches(job: Job, indices: Sequence[int]) -> Iterator[Outcome]:
    """Yield outcomes in order, several rows a call; only this process holds the model."""
    worker = _Worker(job)
    size = int(getattr(job.config, "batch_size", 1))
    for start in range(0, len(indices), size):
        yield from worker.outcomes(indices[start : start + size])


def _in_processes(job: Job, indices: Sequence[int]) -> Iterator[Outcome]:
    """Yield outcomes in order; a worker that dies or hangs costs the row that it was on."""
    count = max(1, min(job.cores, len(indices)))
    answers = workers.compute(
        partial(_Worker, job),
        _calls(job, indices, count),
        workers=count,
        timeout=getattr(job.config, "timeout_seconds", None),
        modules=_imports(job),
    )
    for answer in answers:
        yield failed(answer) if isinstance(answer, RowFailure) else answer


def _calls(job: Job, indices: Sequence[int], workers: int) -> list[list[int]]:
    """Cut rows into calls: so many that no worker idles, each of files that are small together."""
    stages = (job.stage, *(source.stage for source in job.inputs.values()))
    most = max(stage.rows for stage in stages if stage is not None)
    most = min(most, max(1, len(indices) // (CALLS_A_WORKER * workers)))
    calls: list[list[int]] = []
    room = 0
    for index in indices:
        size = _size(job.root / job.clips[index].path) if most > 1 else CALL_BYTES
        if not calls or size > room or len(calls[-1]) == most:
            calls.append([])
            room = CALL_BYTES
        calls[-1].append(index)
        room -= size
    return calls


def _size(path: Path) -> int:
    """Return the bytes of a file; of anything else, as much as fills a call."""
    try:
        state = path.stat()
    except (OSError, ValueError):
        return CALL_BYTES
    return state.st_size if stat.S_ISREG(state.st_mode) else CALL_BYTES


def _imports(job: Job) -> list[str]:
    """Return the modules that every worker needs."""
    above = [source.config for source in job.inputs.values() if source.config is not None]
    return [
        name
        for config in (job.config, *above)
        for name in (type(config).__module__, *config.imports())
    ]


class _Worker:
    """A stage opened once, and its inputs."""

    def __init__(self, job: Job) -> None:
        self.job, self.reader = job, RowReader(job)
        self.function: RowFunction | None = None

    def __call__(self, indices: Sequence[int]) -> list[Outcome]:
        return list(self.outcomes(indices))

    def outcomes(self, indices: Sequence[int]) -> Iterator[Outcome]:
        """Yield each row's outcome as soon as it is there; open the stage for the first row."""
        rows = self.reader.read(indices)
        if not any(isinstance(row, Row) for row in rows):
            return iter([row for row in rows if not isinstance(row, Row)])
        stage = self.job.stage
        self.function = self.function or stage.open(self.job.config, self.job.runtime)
        # rows may come in larger calls, for a stage above that runs inside the job
        most = stage.rows if stage.parallel == "processes" else len(rows)
        return compute_rows(self.function, rows, most)
