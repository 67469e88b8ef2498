"""Write an imported manifest and its splits: appended to, never reordered."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from expressway.core.config import read_yaml, validate
from expressway.core.errors import ManifestError
from expressway.core.files import atomic_path
from expressway.core.fingerprints import HashLedger
from expressway.core.manifest import (
    COLUMNS,
    ClassScheme,
    DatasetConfig,
    path_problem,
    read_manifest,
    read_splits,
)
from expressway.core.text_tables import read_records

# As the configuration demands it of names that become folders.
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
SPLIT_COLUMNS = ("clip_id", "scheme", "split", "part")
Row = TypeVar("Row")


@dataclass(frozen=True)
class Found:
    """What an importer found: manifest rows (column -> text), split rows, columns' meaning.

    ``warnings`` say what a user should know before trusting numbers, ``notes`` what was chosen.
    """

    root: Path
    rows: list[dict[str, str]]
    splits: list[dict[str, str]] = field(default_factory=list)
    labels: dict[str, list[str]] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)
    class_schemes: dict[str, ClassScheme] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Imported:
    """What changed: rows added, rows that stood there already, and the three files."""

    added: int
    kept: int
    manifest: Path
    splits: Path | None
    config: Path


def write(name: str, found: Found, shard_size: int) -> Imported:
    """Write or append to ``data/NAME/manifest.csv``, ``splits.csv``, ``config/datasets/NAME.yaml``.

    Rows whose id stands in the manifest already stay as they are; only empty labels, targets and
    captions of theirs are filled in.

    Raises:
        ManifestError: all problems at once; nothing has been written then.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise ManifestError(f"--name {name!r}: use letters, digits, _ and - (no dot, no slash)")
    folder = Path("data") / name
    manifest, splits = folder / "manifest.csv", folder / "splits.csv"
    config_path = Path("config/datasets") / f"{name}.yaml"
    _refuse_odd_paths(found)
    config = _merged_config(name, found, config_path, shard_size)
    header, old = _existing(manifest)
    old = _filled(old, found)
    known = {row["id"] for row in old}
    new = [row for row in found.rows if row["id"] not in known]
    _hash(name, found.root, new)
    columns = _columns(header, [*old, *new], config)
    with _table(manifest, columns, [*old, *new]) as file:
        clips = _checked(file, manifest, lambda path: read_manifest(path, config))
        if config.splits:
            rows = _merged_splits(splits, found.splits)
            with _table(splits, SPLIT_COLUMNS, rows) as file:
                _checked(file, splits, lambda path: read_splits(path, clips))
    _write_config(config_path, config)
    return Imported(len(new), len(old), manifest, splits if config.splits else None, config_path)


def _refuse_odd_paths(found: Found) -> None:
    problems = [
        f"{row['path']!r} {problem}"
        for row in found.rows
        if (problem := path_problem(row["path"])) is not None
    ]
    if problems:
        raise ManifestError("\n".join(problems))


def _merged_config(name: str, found: Found, path: Path, shard_size: int) -> DatasetConfig:
    old = validate(DatasetConfig, read_yaml(path), str(path)) if path.is_file() else None
    labels = dict(old.labels) if old else {}
    for task, names in found.labels.items():
        known = labels.get(task, [])
        labels[task] = [*known, *(label for label in names if label not in known)]
    has_splits = bool(found.splits) or bool(old and old.splits)
    update: dict[str, Any] = {
        "labels": labels,
        "targets": list(dict.fromkeys([*(old.targets if old else []), *found.targets])),
        "splits": f"data/{name}/splits.csv" if has_splits else None,
        "class_schemes": {**found.class_schemes, **(old.class_schemes if old else {})},
    }
    if old:
        return old.model_copy(update=update)
    fixed = {"manifest": f"data/{name}/manifest.csv", "root": str(found.root)}
    return validate(DatasetConfig, {**fixed, "shard_size": shard_size, **update}, str(path))


def _existing(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    if not path.is_file():
        return [], []
    header, records = read_records(path)
    return header, [record for _, record in records]


def _filled(old: Iterable[dict[str, str]], found: Found) -> list[dict[str, str]]:
    """Return old rows with their empty labels, targets and captions taken from the import."""
    new = {row["id"]: row for row in found.rows}
    return [
        row
        | {
            column: value
            for column, value in new.get(row["id"], {}).items()
            if column not in COLUMNS and not row.get(column)
        }
        for row in old
    ]


def _hash(name: str, root: Path, rows: Iterable[dict[str, str]]) -> None:
    """Fill in ``sha256``, and the ledger that saves the workflow from hashing again."""
    ledger = HashLedger(Path("state/hashes") / f"{name}.json")
    for row in rows:
        row["sha256"] = ledger.sha256(root / row["path"], row["path"]) or ""
    ledger.save()


def _columns(
    header: Sequence[str], rows: Sequence[Mapping[str, str]], config: DatasetConfig
) -> list[str]:
    used = dict.fromkeys([*header, *COLUMNS, *config.labels, *config.targets])
    for row in rows:
        used |= dict.fromkeys(row)
    return list(used)


@contextmanager
def _table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> Iterator[Path]:
    """Yield a CSV file that replaces ``path`` if nothing is wrong with it."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_path(path) as temporary:
        temporary.write_text(text.getvalue(), "utf-8", newline="")
        yield temporary


def _checked(temporary: Path, path: Path, read: Callable[[Path], list[Row]]) -> list[Row]:
    """Return the rows of a file that is not in place yet; messages name its place."""
    try:
        return read(temporary)
    except ManifestError as error:
        raise ManifestError(str(error).replace(str(temporary), str(path))) from None


def _merged_splits(path: Path, new: Iterable[Mapping[str, str]]) -> Iterable[Mapping[str, str]]:
    _, old = _existing(path)
    return {tuple(row[c] for c in SPLIT_COLUMNS): row for row in [*old, *new]}.values()


def _write_config(path: Path, config: DatasetConfig) -> None:
    values = config.model_dump(mode="json", exclude_defaults=True)
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, "utf-8")
