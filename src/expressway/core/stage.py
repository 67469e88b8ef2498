"""The interface of stages: a batched row function, its configuration and its columns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from expressway.core.config import StrictModel
from expressway.core.errors import RowFailure
from expressway.core.manifest import Clip

MESSAGE_LIMIT = 2000

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
        order: stages of a smaller one come first: rules, reports, plans.
        summary: what the stage does, in a sentence.
        sentence: what it did, for a paper's methods section, from the configuration in the footer;
            ``cites``: names of the works that the sentence cites.
        versioned: DVC keeps the stores; not those that are large and can be made again.
        environment: file in envs/ that has what its jobs import.
        memory_mb, minutes: that a job asks a cluster for; profiles override them.
        every_core: a job takes the cores that the data set's other shards leave over.
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
    order: int = 1000
    summary: str = ""
    sentence: Callable[[Mapping[str, Any]], str] | None = None
    cites: tuple[str, ...] = ()
    versioned: bool = True
    environment: Literal["media", "faces", "language"] = "language"
    memory_mb: int = 4000
    minutes: int = 240
    every_core: bool = False


@dataclass(frozen=True)
class Source:
    """Where the rows of one upstream stage come from: a shard table, or a stage run on the fly."""

    path: Path | None = None
    stage: Stage | None = None
    config: StageConfig | None = None


def failure(status: str, error_type: str, message: str) -> Outcome:
    """Return the outcome of a row that has no data."""
    return {"status": status, "error_type": error_type, "error_message": message[:MESSAGE_LIMIT]}


def failed(error: Exception) -> Outcome:
    """Return the outcome of a row whose computation raised an error."""
    status = error.status if isinstance(error, RowFailure) else "invalid"
    return failure(status, type(error).__name__, str(error) or repr(error))
