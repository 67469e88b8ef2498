"""Tables that people bring, CSV or Parquet: columns and rows as text, with line numbers."""

import csv
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from expressway.core.errors import ManifestError

MAX_TABLE_BYTES = 2 << 30


def read_records(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the column names and the rows (with line numbers) of a CSV or Parquet file as text.

    Raises:
        ManifestError: the file is missing or its encoding or table form is odd.
    """
    if not path.is_file():
        raise ManifestError(f"{path}: no such file; make it with: expressway import")
    if path.suffix == ".parquet":
        return read_parquet(path)
    return read_csv(path)


def read_parquet(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the column names and the rows (numbered from 2) of a Parquet file as text.

    Raises:
        ManifestError: damaged, no Parquet, or far larger in memory than any table of clips.
    """
    rows: list[dict[str, str]] = []
    size = 0
    try:
        file = pq.ParquetFile(path)
        for batch in file.iter_batches(batch_size=1024):
            # counted as it comes: a few bytes on disk may stand for any number of rows
            size += batch.nbytes
            if size > MAX_TABLE_BYTES:
                raise ManifestError(f"{path}: larger than {MAX_TABLE_BYTES >> 30} GiB in memory")
            rows += [{k: _text(v) for k, v in row.items()} for row in batch.to_pylist()]
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"{path}: not readable as Parquet: {error}") from error
    return file.schema_arrow.names, list(enumerate(rows, start=2))


def read_csv(
    path: Path, delimiters: str = ","
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the column names and the rows (with line numbers) of a UTF-8 CSV file.

    The delimiter is the one of ``delimiters`` that the header holds most often.

    Raises:
        ManifestError: missing, not UTF-8, not CSV, or a row that does not fit the header.
    """
    if not path.is_file():
        raise ManifestError(f"{path}: no such file")
    text = decode_utf8(path)
    delimiter = max(delimiters, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        rows = [(reader.line_num, _row(path, reader.line_num, header, r)) for r in reader if r]
    except csv.Error as error:
        line = reader.line_num
        raise ManifestError(f"{path}, line {line}: not readable as CSV: {error}") from error
    return header, rows


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def decode_utf8(path: Path) -> str:
    """Return the text of a file.

    Raises:
        ManifestError: the file is not UTF-8; the message names the line.
    """
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ManifestError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; "
            "save the file as UTF-8 (in a spreadsheet: CSV UTF-8)"
        ) from error


def _row(path: Path, line: int, header: list[str], values: list[str]) -> dict[str, str]:
    if len(values) != len(header):
        raise ManifestError(f"{path}, line {line}: the row and the header differ in columns")
    return dict(zip(header, values, strict=True))
