"""Rows of a shard: assembled from manifest and upstream shards, computed batch by batch."""

import errno
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from expressway.core.errors import USABLE, ConfigError, RowFailure, StoreError, SystemicError
from expressway.core.fingerprints import digest
from expressway.core.manifest import Clip, contained
from expressway.core.stage import (
    Outcome,
    Row,
    RowFunction,
    Runtime,
    Source,
    Stage,
    StageConfig,
    failed,
    failure,
)
from expressway.core.store import ShardReader

DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE})


@dataclass(frozen=True)
class Job:
    """One stage on one shard; ``footer`` holds variant, fingerprint and row digest.

    ``keys`` identify what each row is made of beside its upstream rows; what ``output`` and the
    other shards of its ``store``, the nearest first, hold of the same is taken over. A stage with
    a journal keeps it at ``journal``. A ``quiet`` job says nothing of how far it is.
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
    store: Sequence[Path] = ()
    quiet: bool = False


class RowReader:
    """Assembles the rows of a job from its manifest rows and its upstream shard tables."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.readers: dict[str, ShardReader] = {}
        self.functions: dict[str, tuple[RowFunction, int]] = {}
        for name, source in job.inputs.items():
            if source.path is not None:
                self.readers[name] = matching_reader(source.path, job)
            elif source.stage is not None:
                function = source.stage.open(source.config, job.runtime)
                self.functions[name] = function, source.stage.rows

    def read(self, indices: Sequence[int]) -> list[Row | Outcome]:
        """Return the rows to compute, and the outcomes of rows that cannot be computed."""
        rows = [self._stored(index) for index in indices]
        for name, (function, most) in self.functions.items():
            above = compute_rows(function, rows, most)
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


def compute_rows(
    function: RowFunction, rows: Sequence[Row | Outcome], most: int
) -> Iterator[Outcome]:
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


def identities(job: Job) -> list[str]:
    """Return what identifies each row: its key, and the content of the rows that it reads.

    Raises:
        StoreError: an upstream shard is missing, damaged, or of other clips.
    """
    if not job.keys:
        return [""] * len(job.clips)
    paths = sorted(source.path for source in job.inputs.values() if source.path)
    contents = [matching_reader(path, job).contents for path in paths]
    return [row_identity(key, read) for key, *read in zip(job.keys, *contents, strict=True)]


def row_identity(key: str, read: Sequence[str | None]) -> str:
    """Return what identifies a row: its key, and the content of the upstream rows, by path."""
    return digest([key, *read])


def matching_reader(path: Path, job: Job) -> ShardReader:
    """Open an upstream shard.

    Raises:
        StoreError: it holds other clips than the job.
    """
    reader = ShardReader(path)
    if reader.ids != [clip.id for clip in job.clips]:
        raise StoreError(f"{path}: its clips differ from the manifest's; run snakemake again")
    return reader


def _skipped(name: str, state: Mapping[str, Any]) -> Outcome:
    status = state["status"]
    cause = state["error_message"] if status == "skipped" else f"{name}: {status}"
    return failure("skipped", "Upstream", cause)


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
