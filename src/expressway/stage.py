"""What all stages share: reading inputs, worker processes, batching, failures as rows, publishing.

A stage is a batched row function. It says what it needs and computes; everything else is here:
rows out == rows in, in manifest order, whatever happens to single clips.
"""

import errno
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from expressway import workers
from expressway.config import StrictModel
from expressway.errors import USABLE, ConfigError, RowFailure, StoreError, SystemicError
from expressway.journal import Journal
from expressway.manifest import Clip, contained
from expressway.provenance import package_versions
from expressway.store import ShardReader, ShardWriter

DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE})
MESSAGE_LIMIT = 2000
# Smaller calls keep all workers busy to the end; larger ones make what a call costs rarer.
CALLS_A_WORKER = 8
CALL_BYTES = 2 << 20
# Final answers; a timeout or a lost connection is asked again.
JOURNALLED = USABLE | {"refused", "invalid"}

# How fast, not what: these keys never make a store stale.
OPERATIONAL = frozenset({"batch_size", "timeout_seconds"})


class StageConfig(StrictModel):
    """Base of the stages' configurations."""

    def identity(self) -> dict[str, Any]:
        """Return the values that decide what is computed."""
        return self.model_dump(mode="json", exclude=set(OPERATIONAL))

    def upstream(self) -> dict[str, str]:
        """Return which variant of which stage is read: stage name -> variant name."""
        return {}

    def manifest_columns(self) -> tuple[str, ...]:
        """Return the manifest columns whose change makes a row stale."""
        return ("id",)

    def weights(self) -> tuple[str, ...]:
        """Return files or folders whose content is part of the fingerprint."""
        return ()

    def imports(self) -> tuple[str, ...]:
        """Return modules that take long to import; workers find them imported."""
        return ()


@dataclass(frozen=True)
class Row:
    """What a row function gets for one clip; ``inputs`` maps upstream stage -> its row."""

    clip: Clip
    source: Path
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Runtime:
    """Where a stage runs: ``device`` is ``cpu`` or ``cuda``; ``threads`` per process."""

    device: str = "cpu"
    threads: int = 1


Outcome = dict[str, Any]
RowFunction = Callable[[list[Row]], list[Outcome]]


@dataclass(frozen=True)
class Stage:
    """A step of preparation; every module of ``expressway.stages`` holds one as ``STAGE``.

    Attributes:
        schema: the fields beyond the four that every shard table has.
        open: loads what is needed once and returns the batched row function.
        parallel: ``processes``: crash-isolated workers; ``batches``: in the main process,
            ``config.batch_size`` rows a call.
        rows: how many of small files a worker takes in one call, where calls cost much.
        images: one clip per row group.
        packages: distributions whose versions the footer records.
        journal: finished rows outlive a killed job (``batches`` only; for rows that cost much).
    """

    name: str
    config: type[StageConfig]
    schema: Callable[[Any], pa.Schema]
    open: Callable[[Any, Runtime], RowFunction]
    parallel: Literal["processes", "batches"]
    rows: int = 1
    images: bool = False
    packages: tuple[str, ...] = ()
    journal: bool = False


@dataclass(frozen=True)
class Source:
    """Where the rows of one upstream stage come from: a shard table, or a stage run on the fly."""

    path: Path | None = None
    stage: Stage | None = None
    config: StageConfig | None = None


@dataclass(frozen=True)
class Job:
    """One stage on one shard; ``footer`` holds variant, fingerprint and row digest.

    ``keys`` identify what each row is made of, for stages with a journal at ``journal``. A
    ``quiet`` job says nothing of how far it is.
    """

    stage: Stage
    config: StageConfig
    clips: Sequence[Clip]
    root: Path
    inputs: Mapping[str, Source]
    output: Path
    footer: Mapping[str, Any]
    cores: int = 1
    runtime: Runtime = field(default_factory=Runtime)
    follow_symlinks: bool = False
    journal: Path | None = None
    keys: Sequence[str] = ()
    quiet: bool = False


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
    with ShardWriter(job.output, schema, footer, images=job.stage.images) as writer:
        for clip, outcome in zip(job.clips, outcomes(job, range(len(job.clips))), strict=True):
            row = {"status": "ok", **outcome, "clip_id": clip.id}
            writer.write(row)
            counts[row["status"]] += 1
            if not job.quiet:
                _progress(job, counts)
        if counts.total() != len(job.clips):
            raise StoreError(f"{job.output}: {counts.total()} rows for {len(job.clips)} clips")
    return counts


def _progress(job: Job, counts: Counter[str]) -> None:
    done, total = counts.total(), len(job.clips)
    step = max(1, total // 10)
    if done % step == 0 or done == total:
        states = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
        print(f"{job.stage.name} {job.output.stem}: {done}/{total} ({states})", file=sys.stderr)


def outcomes(job: Job, indices: Sequence[int]) -> Iterator[Outcome]:
    """Compute the clips at ``indices``; yield their outcomes in that order."""
    if job.stage.parallel == "processes":
        for source in job.inputs.values():
            if source.path is not None:
                # a worker that finds a damaged shard would break the pool without saying why
                _matching_reader(source.path, job)
        return _in_processes(job, indices)
    if job.stage.journal and job.journal is not None:
        return _journalled(job, job.journal, indices)
    return _in_batches(job, indices)


def _journalled(job: Job, path: Path, indices: Sequence[int]) -> Iterator[Outcome]:
    """Yield outcomes in order; rows that an earlier, unfinished job paid for are not repeated."""
    journal = Journal(path, job.stage.schema(job.config))
    kept = {index: journal.get(job.keys[index]) for index in indices}
    computed = _in_batches(job, [index for index, row in kept.items() if row is None])
    try:
        for index, row in kept.items():
            if row is not None:
                yield row
                continue
            outcome = next(computed)
            if outcome.get("status", "ok") in JOURNALLED:
                journal.put(job.keys[index], {"status": "ok", "clip_id": "", **outcome})
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
        return _through(self.function, rows, most)


class RowReader:
    """Assembles the rows of a job from its manifest rows and its upstream shard tables."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.readers: dict[str, ShardReader] = {}
        self.functions: dict[str, tuple[RowFunction, int]] = {}
        for name, source in job.inputs.items():
            if source.path is not None:
                self.readers[name] = _matching_reader(source.path, job)
            elif source.stage is not None:
                function = source.stage.open(source.config, job.runtime)
                self.functions[name] = function, source.stage.rows

    def read(self, indices: Sequence[int]) -> list[Row | Outcome]:
        """Return the rows to compute, and the outcomes of rows that cannot be computed."""
        rows = [self._stored(index) for index in indices]
        for name, (function, most) in self.functions.items():
            above = _through(function, rows, most)
            rows = [_joined(row, name, outcome) for row, outcome in zip(rows, above, strict=True)]
        return rows

    def _stored(self, index: int) -> Row | Outcome:
        clip = self.job.clips[index]
        for name, reader in self.readers.items():
            state = reader.states[index]
            if state["status"] not in USABLE:
                return _skipped(name, state)
        try:
            source = contained(self.job.root, clip.path, self.job.follow_symlinks)
        except RowFailure as error:
            return failed(error)
        return Row(clip, source, {name: reader.row(index) for name, reader in self.readers.items()})


def _through(function: RowFunction, rows: Sequence[Row | Outcome], most: int) -> Iterator[Outcome]:
    """Compute the rows, at most so many a call; outcomes stay."""
    wanted = [row for row in rows if isinstance(row, Row)]
    pieces = (wanted[start : start + most] for start in range(0, len(wanted), most))
    computed = (outcome for piece in pieces for outcome in call(function, piece))
    for row in rows:
        yield next(computed) if isinstance(row, Row) else row


def _joined(row: Row | Outcome, name: str, above: Outcome) -> Row | Outcome:
    if not isinstance(row, Row):
        return row
    usable = above.get("status", "ok") in USABLE
    return replace(row, inputs={**row.inputs, name: above}) if usable else above


def _matching_reader(path: Path, job: Job) -> ShardReader:
    reader = ShardReader(path)
    if reader.ids != [clip.id for clip in job.clips]:
        raise StoreError(f"{path}: its clips differ from the manifest's; run snakemake again")
    return reader


def _skipped(name: str, state: Mapping[str, Any]) -> Outcome:
    status = state["status"]
    cause = state["error_message"] if status == "skipped" else f"{name}: {status}"
    return failure("skipped", "Upstream", cause)


def failure(status: str, error_type: str, message: str) -> Outcome:
    """Return the outcome of a row that has no data."""
    return {"status": status, "error_type": error_type, "error_message": message[:MESSAGE_LIMIT]}


def failed(error: Exception) -> Outcome:
    """Return the outcome of a row whose computation raised an error."""
    status = error.status if isinstance(error, RowFailure) else "invalid"
    return failure(status, type(error).__name__, str(error) or repr(error))


def call(function: RowFunction, rows: list[Row]) -> list[Outcome]:
    """Call a row function so that an error of one clip becomes that clip's outcome.

    A batch that fails is tried again row by row, so that one bad clip costs one row.

    Raises:
        SystemicError: faults that would hit every row: disk, GPU, configuration.
    """
    if not rows:
        return []
    try:
        outcomes = function(rows)
        if len(outcomes) != len(rows):
            raise StoreError(f"the stage gave {len(outcomes)} outcomes for {len(rows)} rows")
        return outcomes
    except (SystemicError, ConfigError, StoreError):
        raise
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise SystemicError(f"the machine refused: {error}") from error
        return _one_by_one(function, rows, error)
    except Exception as error:
        if _is_device_fault(error):
            raise SystemicError(f"the device failed: {error}") from error
        return _one_by_one(function, rows, error)


def _one_by_one(function: RowFunction, rows: list[Row], error: Exception) -> list[Outcome]:
    if len(rows) > 1:
        return [outcome for row in rows for outcome in call(function, [row])]
    return [failed(error)]


def _is_device_fault(error: Exception) -> bool:
    return type(error).__name__ in {"AcceleratorError", "OutOfMemoryError"} or (
        isinstance(error, RuntimeError) and "CUDA error" in str(error)
    )
