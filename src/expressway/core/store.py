"""Shard tables: Parquet files with one row per clip, a footer that says what made them.

Row groups are small (one clip where clips hold images, else about 64 kB), uncompressed and without
dictionary, so that one clip can be read without touching many others. A file appears under its
name only when it is complete.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from expressway.core.columns import content_of, from_arrow, to_arrow
from expressway.core.errors import USABLE, StoreError
from expressway.core.files import atomic_path

SCHEMA_VERSION = 2
GROUP_BYTES = 64 << 10
FOOTER_KEY = b"expressway"
ROWS_KEY = b"expressway.core.rows"
STATUS_FIELDS = (
    pa.field("clip_id", pa.string(), nullable=False),
    pa.field("status", pa.string(), nullable=False),
    pa.field("error_type", pa.string()),
    pa.field("error_message", pa.string()),
)


def shard_schema(fields: pa.Schema) -> pa.Schema:
    """Return a stage's own fields behind the four that every shard table has."""
    return pa.schema([*STATUS_FIELDS, *fields])


def write_table(path: Path, table: pa.Table, footer: Mapping[str, Any] | None = None) -> None:
    """Write a whole table with an optional footer, atomically."""
    metadata = {**(table.schema.metadata or {}), FOOTER_KEY: json.dumps(footer or {}).encode()}
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd")


class ShardWriter:
    """Streams rows into a shard table that appears only when the block ends without an error."""

    def __init__(
        self, path: Path, fields: pa.Schema, footer: Mapping[str, Any], images: bool = False
    ) -> None:
        """Args: ``images``: one clip per row group, however small."""
        metadata = {FOOTER_KEY: json.dumps({"schema_version": SCHEMA_VERSION, **footer}).encode()}
        self.schema = shard_schema(fields).with_metadata(metadata)
        self._group_bytes = 0 if images else GROUP_BYTES
        self._pending: list[pa.Table] = []
        self._rows: list[list[str]] = []
        self._context = atomic_path(path)

    def __enter__(self) -> Self:
        self._writer = pq.ParquetWriter(
            self._context.__enter__(),
            self.schema,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
        )
        return self

    def write(self, row: Mapping[str, Any], identity: str = "") -> None:
        """Append one row; missing columns become null. ``identity``: of what it is made."""
        columns = [to_arrow([row.get(field.name)], field) for field in self.schema]
        table = pa.Table.from_arrays(columns, schema=self.schema)
        self._append(table, identity, content_of(table))

    def copy(self, reader: "ShardReader", index: int) -> None:
        """Append a row of another shard table of the same columns, unchanged."""
        table = reader.table(index).replace_schema_metadata(self.schema.metadata)
        self._append(table, reader.identities[index], reader.contents[index])

    def _append(self, table: pa.Table, identity: str, content: str) -> None:
        self._pending.append(table)
        self._rows.append([table.column("clip_id")[0].as_py(), identity, content])
        if sum(table.nbytes for table in self._pending) > self._group_bytes:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.concat_tables(self._pending).combine_chunks())
            self._pending = []

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._flush()
                self._writer.add_key_value_metadata({ROWS_KEY: json.dumps(self._rows)})
            self._writer.close()
        except BaseException as late:
            self._context.__exit__(type(late), late, late.__traceback__)
            raise
        self._context.__exit__(kind, error, trace)


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a shard table.

    Raises:
        StoreError: the file is missing, truncated, not ours, or of another schema version.
    """
    hint = "delete it and run snakemake again"
    try:
        file = pq.ParquetFile(path, memory_map=False, pre_buffer=False)
    except FileNotFoundError:
        raise StoreError(f"{path}: no such shard table; run snakemake to make it") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreError(f"{path}: damaged or not a Parquet file ({error}); {hint}") from error
    if FOOTER_KEY not in (file.schema_arrow.metadata or {}):
        raise StoreError(f"{path}: a Parquet file, but no shard table of this program; {hint}")
    return file


def read_footer(path: Path) -> dict[str, Any]:
    """Return what the footer says: stage, variant, fingerprint, config, package versions."""
    file = open_parquet(path)
    footer: dict[str, Any] = json.loads(file.schema_arrow.metadata[FOOTER_KEY])
    return footer


def _rows(file: pq.ParquetFile, path: Path) -> tuple[list[str], list[str], list[str]]:
    """Return id, identity and content of every row."""
    try:
        rows = json.loads(file.metadata.metadata[ROWS_KEY])
        ids, identities, contents = zip(*rows, strict=True) if rows else ((), (), ())
    except (KeyError, ValueError, TypeError) as error:
        raise StoreError(f"{path}: no list of rows; delete it and run snakemake again") from error
    return list(ids), list(identities), list(contents)


def row_contents(path: Path) -> dict[str, str]:
    """Return clip id -> what identifies the values of its row in a shard table."""
    ids, _, contents = _rows(open_parquet(path), path)
    return dict(zip(ids, contents, strict=True))


def row_identities(path: Path) -> dict[str, str]:
    """Return clip id -> what its row in a shard table was made of."""
    ids, identities, _ = _rows(open_parquet(path), path)
    return dict(zip(ids, identities, strict=True))


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a whole table (or some columns)."""
    return open_parquet(path).read(columns=list(columns) if columns else None)


class ShardReader:
    """Random access to the rows of one shard table.

    Raises:
        StoreError: when opened: missing, damaged, foreign, or of another schema version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_parquet(path)
        self.schema = self._file.schema_arrow
        self.footer: dict[str, Any] = json.loads(self.schema.metadata[FOOTER_KEY])
        if self.footer.get("schema_version") != SCHEMA_VERSION:
            found = self.footer.get("schema_version")
            raise StoreError(
                f"{path}: schema version {found}, this program reads {SCHEMA_VERSION}; "
                "delete it and run snakemake again"
            )
        states = self._file.read(columns=["clip_id", "status", "error_type", "error_message"])
        self.states: list[dict[str, Any]] = states.to_pylist()
        self.ids: list[str] = [state["clip_id"] for state in self.states]
        self._position = {clip_id: index for index, clip_id in enumerate(self.ids)}
        _, self.identities, self.contents = _rows(self._file, path)
        metadata = self._file.metadata
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._ends = np.cumsum(sizes)
        self._cache: tuple[tuple[int, tuple[str, ...] | None], pa.Table] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, index: int, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """Return one row; ``columns`` limits what is read from disk."""
        table, place = self._located(index, tuple(columns) if columns else None)
        return {
            field.name: from_arrow(table.column(field.name), place, field) for field in table.schema
        }

    def table(self, index: int) -> pa.Table:
        """Return one row as a table of its own, for a copy."""
        table, place = self._located(index, None)
        return table.take([place])

    def _located(self, index: int, columns: tuple[str, ...] | None) -> tuple[pa.Table, int]:
        group = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[group - 1]) if group else 0
        return self._group(group, columns), index - start

    def _group(self, group: int, columns: tuple[str, ...] | None) -> pa.Table:
        key = (group, columns)
        if self._cache is None or self._cache[0] != key:
            table = self._file.read_row_group(
                group, columns=list(columns) if columns else None, use_threads=False
            )
            self._cache = (key, table)
        return self._cache[1]

    def by_id(self, clip_id: str, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """Return the row of a clip.

        Raises:
            StoreError: the shard has no such clip.
        """
        if clip_id not in self._position:
            raise StoreError(f"{self.path}: no row for clip {clip_id}")
        return self.row(self._position[clip_id], columns)


class Store:
    """The shards of one stage variant of one data set, addressed by clip id."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.readers = [ShardReader(Path(path)) for path in paths]
        self._place = {
            clip_id: (reader, index)
            for reader in self.readers
            for index, clip_id in enumerate(reader.ids)
        }

    @property
    def ids(self) -> list[str]:
        """Clip ids in manifest order."""
        return list(self._place)

    def __len__(self) -> int:
        return len(self._place)

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self._place

    def state(self, clip_id: str) -> dict[str, Any]:
        """Return ``clip_id, status, error_type, error_message`` of a clip.

        Raises:
            StoreError: no shard has the clip.
        """
        if clip_id not in self._place:
            raise StoreError(f"no row for clip {clip_id} in {self._names()}")
        reader, index = self._place[clip_id]
        return reader.states[index]

    def content(self, clip_id: str) -> str:
        """Return what identifies the values of a clip's row; empty where no shard has it."""
        reader, index = self._place.get(clip_id, (None, 0))
        return reader.contents[index] if reader else ""

    def status(self, clip_id: str) -> str:
        """Return the status of a clip."""
        return str(self.state(clip_id)["status"])

    def usable(self, clip_id: str) -> bool:
        """Return whether the clip's row holds data (status ok or degraded)."""
        return clip_id in self._place and self.status(clip_id) in USABLE

    def row(self, clip_id: str, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """Return the row of a clip.

        Raises:
            StoreError: no shard has the clip.
        """
        self.state(clip_id)
        reader, index = self._place[clip_id]
        return reader.row(index, columns)

    def _names(self) -> str:
        return ", ".join(str(reader.path) for reader in self.readers[:3]) or "an empty store"
