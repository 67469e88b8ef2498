"""Shard tables: Parquet files with one row per clip, a footer that says what made them.

Row groups are small (one clip where clips hold images, else about 64 kB), uncompressed and without
dictionary, so that one clip can be read without touching many others. A file appears under its
name only when it is complete.
"""

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from expressway.errors import USABLE, StoreError, SystemicError

SCHEMA_VERSION = 1
GROUP_BYTES = 64 << 10
FOOTER_KEY = b"expressway"
SHAPE_KEY = b"shape"
STATUS_FIELDS = (
    pa.field("clip_id", pa.string(), nullable=False),
    pa.field("status", pa.string(), nullable=False),
    pa.field("error_type", pa.string()),
    pa.field("error_message", pa.string()),
)


def frame_array(name: str, dtype: str, *shape: int) -> pa.Field:
    """Field for one array per frame: the value of a clip is numpy ``(frames, *shape)``."""
    inner = pa.list_(pa.from_numpy_dtype(np.dtype(dtype)), int(np.prod(shape)))
    return pa.field(name, pa.list_(inner), metadata={SHAPE_KEY: json.dumps(shape).encode()})


def clip_array(name: str, dtype: str, *shape: int) -> pa.Field:
    """Field for one array per clip: the value is numpy ``shape``."""
    kind = pa.list_(pa.from_numpy_dtype(np.dtype(dtype)), int(np.prod(shape)))
    return pa.field(name, kind, metadata={SHAPE_KEY: json.dumps(shape).encode()})


def frame_list(name: str, dtype: str) -> pa.Field:
    """Field for one number per frame: the value of a clip is numpy ``(frames,)``."""
    return pa.field(name, pa.list_(pa.from_numpy_dtype(np.dtype(dtype))))


def blobs(name: str) -> pa.Field:
    """Field for a list of encoded images (or any bytes) per clip."""
    return pa.field(name, pa.list_(pa.binary()))


def shard_schema(fields: pa.Schema) -> pa.Schema:
    """Return a stage's own fields behind the four that every shard table has."""
    return pa.schema([*STATUS_FIELDS, *fields])


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path`` that replaces it on success.

    Raises:
        SystemicError: the disk refused the write; the message names the path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f".{path.name}.*.tmp"):
        if not _is_running(stale):
            stale.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.name}.{os.getpid()}.", suffix=".tmp", dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _publish(temporary, path)
    except Exception as error:
        # safetensors has an error of its own for a full disk
        if isinstance(error, OSError) or os.strerror(errno.ENOSPC) in str(error):
            raise SystemicError(f"{path}: cannot be written: {error}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _is_running(temporary: Path) -> bool:
    """Return whether the process that made a temporary file is still alive on this machine."""
    try:
        process = int(temporary.name.rsplit(".", 3)[1])
        os.kill(process, 0)
    except (ValueError, IndexError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return process != os.getpid()


def _publish(temporary: Path, path: Path) -> None:
    temporary.chmod(0o666 & ~_umask())
    with temporary.open("rb") as handle:
        os.fsync(handle.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")


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

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row; missing columns become null."""
        columns = [to_arrow([row.get(field.name)], field) for field in self.schema]
        self._pending.append(pa.Table.from_arrays(columns, schema=self.schema))
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
            self._writer.close()
        except BaseException as late:
            self._context.__exit__(type(late), late, late.__traceback__)
            raise
        self._context.__exit__(kind, error, trace)


def to_arrow(values: Sequence[Any], field: pa.Field) -> pa.Array:
    """Return one column; numpy values go in without passing through Python lists.

    Raises:
        StoreError: a value does not fit the field.
    """
    try:
        if _is_nested_array(field):
            return _nested_to_arrow(values, field)
        return pa.array([_plain(value) for value in values], type=field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError, TypeError) as error:
        raise StoreError(f"column {field.name} does not fit {field.type}: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist() if value.dtype == np.float16 else list(value)
    return value.item() if isinstance(value, np.generic) else value


def _is_nested_array(field: pa.Field) -> bool:
    return SHAPE_KEY in (field.metadata or {})


def _shape(field: pa.Field) -> tuple[int, ...]:
    return tuple(json.loads(field.metadata[SHAPE_KEY]))


def _nested_to_arrow(values: Sequence[Any], field: pa.Field) -> pa.Array:
    per_frame = pa.types.is_list(field.type)
    fixed = field.type.value_type if per_frame else field.type
    width, dtype = fixed.list_size, fixed.value_type.to_pandas_dtype()
    flat = [
        np.zeros((0 if per_frame else 1, width), dtype)
        if value is None
        else np.asarray(value, dtype=dtype).reshape(-1, width)
        for value in values
    ]
    missing = pa.array([value is None for value in values])
    joined = pa.array(np.ascontiguousarray(np.concatenate(flat)).reshape(-1), fixed.value_type)
    inner = pa.FixedSizeListArray.from_arrays(joined, type=fixed)
    if not per_frame:
        return _nulled(inner, missing, fixed)
    offsets = np.concatenate([[0], np.cumsum([len(block) for block in flat])]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), inner, type=field.type, mask=missing)


def _nulled(array: pa.Array, missing: pa.Array, kind: pa.DataType) -> pa.Array:
    if not any(missing.to_pylist()):
        return array
    return pa.FixedSizeListArray.from_arrays(array.values, type=kind, mask=missing)


def from_arrow(column: pa.ChunkedArray | pa.Array, index: int, field: pa.Field) -> Any:
    """Return one value of a column: numpy for arrays, ``list[bytes]`` for blobs, else Python."""
    value = column[index]
    if not value.is_valid:
        return None
    if _is_nested_array(field):
        values = value.values
        if pa.types.is_list(field.type):
            values = values.flatten()
            return values.to_numpy(zero_copy_only=False).reshape(-1, *_shape(field))
        return values.to_numpy(zero_copy_only=False).reshape(_shape(field))
    if pa.types.is_list(field.type) and pa.types.is_primitive(field.type.value_type):
        return value.values.to_numpy(zero_copy_only=False)
    return value.as_py()


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
        metadata = self._file.metadata
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._ends = np.cumsum(sizes)
        self._cache: tuple[tuple[int, tuple[str, ...] | None], pa.Table] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, index: int, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """Return one row; ``columns`` limits what is read from disk."""
        group = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[group - 1]) if group else 0
        table = self._group(group, tuple(columns) if columns else None)
        return {
            field.name: from_arrow(table.column(field.name), index - start, field)
            for field in table.schema
        }

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
