"""Digests of the content of files as they are now; None where there is none to read."""

import json
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from expressway.core.errors import StoreError
from expressway.core.fingerprints import digest, file_digest
from expressway.core.store import row_contents


def of_rows(shard: str) -> str | None:
    """Return the content of all rows of a shard table."""
    rows = _rows(shard)
    return None if rows is None else digest(list(rows.items()))


def of_clips(shards: Sequence[str], ids: Sequence[str]) -> str | None:
    """Return the content of the rows of some clips in shards of one store."""
    found: dict[str, str] = {}
    for shard in shards:
        rows = _rows(shard)
        if rows is None:
            return None
        found |= rows
    return digest([[clip, found.get(clip)] for clip in ids])


def _rows(shard: str) -> dict[str, str] | None:
    stamp = _stamp(shard)
    return None if stamp is None else _read_rows(shard, stamp)


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


@cache
def _read_rows(shard: str, stamp: tuple[int, int]) -> dict[str, str] | None:
    try:
        return row_contents(Path(shard))
    except StoreError:
        return None


def of_file(path: str) -> str | None:
    """Return the sha256 of a file."""
    stamp = _stamp(path)
    return None if stamp is None else _read_file(path, stamp)


@cache
def _read_file(path: str, stamp: tuple[int, int]) -> str:
    return file_digest(Path(path))


def of_files(files: Sequence[str]) -> str | None:
    """Return the content of several files together."""
    found = [of_file(path) for path in files]
    return None if None in found else digest(found)


def of_model(card: str) -> str | None:
    """Return the sha256 of a model's weights, as its card states it."""
    try:
        return str(json.loads(Path(card).read_text("utf-8"))["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


@cache
def of_templates() -> str:
    """Return the content of all templates of the pages that people read."""
    folder = resources.files("expressway.reporting") / "templates"
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return digest([[file.name, file.read_text("utf-8")] for file in files])
