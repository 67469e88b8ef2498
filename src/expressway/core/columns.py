"""Columns of shard tables: arrays and images per clip or frame, to Arrow and back."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from expressway.core.errors import StoreError

SHAPE_KEY = b"shape"


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


def content_of(row: pa.Table) -> str:
    """Return 16 hexadecimal digits that identify the values of a table of one row."""
    found = hashlib.blake2b(digest_size=8)
    for field in row.schema:
        _feed(found, from_arrow(row.column(field.name), 0, field))
    return found.hexdigest()


def _feed(found: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        found.update(f"{value.dtype}{value.shape}".encode())
        found.update(np.ascontiguousarray(value).data)
    elif isinstance(value, bytes):
        found.update(b"%d:" % len(value))
        found.update(value)
    elif isinstance(value, list | dict):
        found.update(b"[%d" % len(value))
        for part in value.items() if isinstance(value, dict) else value:
            _feed(found, list(part) if isinstance(part, tuple) else part)
    else:
        found.update(f"{value!r};".encode())
