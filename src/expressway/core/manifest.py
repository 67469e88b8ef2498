"""The table of clips and the table of splits: reading, checking, cutting into shards.

The manifest is the user's file: append-only, since the order of its rows decides the shards.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field

from expressway.core.config import StrictModel, nearest
from expressway.core.errors import ManifestError, RowFailure
from expressway.core.fingerprints import digest
from expressway.core.text_tables import read_records

COLUMNS = ("id", "path", "kind", "video", "start", "end", "subject", "sha256")
# In no phrasing of `caption`: a text tower that reads English only must not meet it.
CHINESE = "caption_zh"
KINDS = ("video", "frames", "image")
PARTS = ("train", "validation", "test")
ID_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
CAPTION_PATTERN = re.compile(r"caption(_\d+)?")
CONTROL_PATTERN = re.compile(r"[\x00-\x1f\x7f]")


class ClassScheme(StrictModel):
    """Splits of the classes: each says which classes training may see, on top of a clip split.

    A model of such a scheme is trained on the training clips of the known classes; its splits
    are named as in ``known``, with ``-SPLIT`` behind where several clip splits are used.
    """

    task: str = Field("emotion", description="label column whose classes are split")
    scheme: str = Field(description="split scheme of the clips")
    splits: list[str] | None = Field(None, description="which of its splits; default: all")
    known: dict[str, list[str]] = Field(description="split -> the classes that training sees")


class DatasetConfig(StrictModel):
    """One data set: where its files are and what its columns mean."""

    manifest: str = Field(description="manifest file (.csv or .parquet), one row per clip")
    splits: str | None = Field(None, description="split file: clip_id, scheme, split, part")
    root: str = Field(description="folder that the manifest's paths start from")
    shard_size: int = Field(256, ge=1, description="clips per shard; 256 video, 4096 images")
    labels: dict[str, list[str]] = Field(
        default_factory=dict, description="label column -> allowed names in their official order"
    )
    targets: list[str] = Field(default_factory=list, description="columns with numbers to predict")
    class_schemes: dict[str, ClassScheme] = Field(
        default_factory=dict,
        description="scheme -> splits into known and unknown classes (open_set, leave_one_out)",
    )
    prepare: list[str] | None = Field(
        None, description="stores to make (stage/variant); default: the workflow's own list"
    )
    max_failed_fraction: float = Field(
        0.1, ge=0, le=1, description="share of lost clips per store that stops the run (20+ clips)"
    )
    follow_symlinks: bool = Field(False, description="accept files that lead out of the root")
    demo_seed: int | None = Field(
        None, description="seed of the demo world that renders the clips; none for real data"
    )


@dataclass(frozen=True)
class Clip:
    """One row of a manifest; ``line`` is its place in the file, for messages."""

    id: str
    path: str
    kind: str = "video"
    video: str = ""
    start: float | None = None
    end: float | None = None
    subject: str | None = None
    captions: tuple[str, ...] = ()
    caption_zh: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    targets: Mapping[str, float] = field(default_factory=dict)
    sha256: str | None = None
    line: int = 0

    def column(self, name: str) -> Any:
        """Return the value of a manifest column; ``caption`` stands for all phrasings."""
        return list(self.captions) if name == "caption" else getattr(self, name)


@dataclass(frozen=True)
class SplitRow:
    """One row of a split table."""

    clip_id: str
    scheme: str
    split: str
    part: str
    line: int = 0


def split_title(scheme: str, split: str) -> str:
    """Return how a split is named to people; the only one of a scheme often has its name."""
    return scheme if scheme == split else f"{scheme} {split}"


def read_manifest(path: Path, dataset: DatasetConfig) -> list[Clip]:
    """Return the clips of a manifest in file order.

    Raises:
        ManifestError: all problems of the file at once, one per line, each with its line number.
    """
    header, records = read_records(path)
    found = _header_problems(header, dataset)
    clips: list[Clip] = []
    captions = sorted(filter(CAPTION_PATTERN.fullmatch, header), key=lambda name: (len(name), name))
    if not found:
        for line, record in records:
            clips.append(_clip(record, line, captions, dataset, found))
        found += _row_problems(clips, dataset)
    if found:
        raise ManifestError("\n".join(f"{path}, {problem}" for problem in found))
    return clips


def _header_problems(header: Sequence[str], dataset: DatasetConfig) -> list[str]:
    known = {*COLUMNS, CHINESE, *dataset.labels, *dataset.targets}
    missing = [name for name in ("id", "path") if name not in header]
    strange = [n for n in header if n not in known and not CAPTION_PATTERN.fullmatch(n)]
    absent = [name for name in (*dataset.labels, *dataset.targets) if name not in header]
    return [
        *(f"line 1: column {name!r} is required and missing" for name in missing),
        *(f"line 1: unknown column {n!r}{nearest(n, {*known, 'caption'})}" for n in strange),
        *(
            f"line 1: column {name!r} is named in the data set's config but missing"
            for name in absent
        ),
    ]


def _clip(
    record: Mapping[str, str],
    line: int,
    captions: Sequence[str],
    dataset: DatasetConfig,
    found: list[str],
) -> Clip:
    def number(name: str) -> float | None:
        text = record.get(name, "").strip()
        try:
            value = float(text) if text else None
        except ValueError:
            value = float("nan")
        if value is not None and not abs(value) < 1e12:
            found.append(f"line {line}: {name} is {text!r}; expected a number or nothing")
            return None
        return value

    targets = {name: number(name) for name in dataset.targets}
    return Clip(
        id=record["id"],
        path=record["path"],
        kind=record.get("kind") or "video",
        video=record.get("video") or record["path"],
        start=number("start"),
        end=number("end"),
        subject=record.get("subject") or None,
        captions=tuple(record[name] for name in captions if record[name].strip()),
        caption_zh=record.get(CHINESE, "").strip(),
        labels={task: record[task] for task in dataset.labels if record[task]},
        targets={name: value for name, value in targets.items() if value is not None},
        sha256=record.get("sha256") or None,
        line=line,
    )


def _row_problems(clips: Sequence[Clip], dataset: DatasetConfig) -> list[str]:
    found = [
        f"line {clip.line}: {problem}"
        for clip in clips
        for problem in _clip_problems(clip, dataset)
    ]
    folded = _duplicates(clips, lambda clip: clip.id.lower())
    found += [
        f"line {line}: id {c.id!r} stands already in line {first}" for c, line, first in folded
    ]
    files = _duplicates(clips, lambda clip: (clip.path, clip.start, clip.end))
    found += [
        f"line {line}: file {c.path!r} (same stretch) stands under another id in line {first}"
        for c, line, first in files
        if c.id.lower() not in {d.id.lower() for d, *_ in folded}
    ]
    return found


def _clip_problems(clip: Clip, dataset: DatasetConfig) -> Iterable[str]:
    if not ID_PATTERN.fullmatch(clip.id):
        yield f"id {clip.id!r}: use letters, digits, _ . - (the first no dot or dash)"
    if clip.kind not in KINDS:
        yield f"kind {clip.kind!r}{nearest(clip.kind, KINDS)}; allowed: {', '.join(KINDS)}"
    problem = path_problem(clip.path)
    if problem:
        yield f"path {clip.path!r} {problem}"
    if clip.start is not None and clip.start < 0:
        yield f"start {clip.start} is negative"
    if clip.end is not None and clip.end <= (clip.start or 0):
        yield f"end {clip.end} is not after start {clip.start or 0}"
    for task, name in clip.labels.items():
        allowed = dataset.labels[task]
        if name not in allowed:
            names = ", ".join(allowed)
            yield f"{task} {name!r} is unknown{nearest(name, allowed)}; allowed: {names}"


def path_problem(path: str) -> str | None:
    """Return why a manifest path is refused, or None: it must be relative and stay in the root."""
    if not path:
        return "is empty; expected a path relative to the data set's root"
    if CONTROL_PATTERN.search(path):
        return "holds control characters"
    if path.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]|[a-z][a-z0-9+]*://", path):
        return "is absolute; expected a path relative to the data set's root"
    if ".." in PurePosixPath(path).parts:
        return "leaves the data set's root"
    return None


def _duplicates(clips: Sequence[Clip], key: Any) -> list[tuple[Clip, int, int]]:
    first: dict[Any, int] = {}
    twice = []
    for clip in clips:
        line = first.setdefault(key(clip), clip.line)
        if line != clip.line:
            twice.append((clip, clip.line, line))
    return twice


def missing_files(clips: Sequence[Clip], root: Path, where: Path) -> list[str]:
    """Return one line per clip whose file is not there."""
    present: dict[str, bool] = {}
    for clip in clips:
        if clip.path not in present:
            present[clip.path] = (root / clip.path).exists()
    return [
        f"{where}, line {clip.line}: no file {clip.path!r} under {root}"
        for clip in clips
        if not present[clip.path]
    ]


def contained(root: Path, path: str, follow_symlinks: bool) -> Path:
    """Return the absolute path of a clip's file or folder of frames.

    Raises:
        RowFailure: the path, or a frame in the folder, leads out of the root, by itself or through
            a link.
    """
    problem = path_problem(path)
    if problem:
        raise RowFailure("invalid", f"path {path!r} {problem}")
    base = root.resolve()
    away = None if follow_symlinks else _link_out(base, path)
    if away:
        raise RowFailure(
            "invalid",
            f"{away!r} is a link out of the data set's root; set follow_symlinks to accept it",
        )
    return base / path


def _link_out(base: Path, path: str) -> str | None:
    """Return the path, or that of a file in the folder, whose links lead out of ``base``."""
    resolved = (base / path).resolve()
    if not resolved.is_relative_to(base):
        return path
    if not resolved.is_dir():
        return None
    with os.scandir(resolved) as entries:
        links = sorted(entry.name for entry in entries if entry.is_symlink())
    out = (name for name in links if not (resolved / name).resolve().is_relative_to(base))
    return next((f"{path}/{name}" for name in out), None)


def read_splits(path: Path, clips: Sequence[Clip]) -> list[SplitRow]:
    """Return the rows of a split table.

    Raises:
        ManifestError: all problems at once: unknown clips, odd parts, a clip twice in a split.
    """
    header, records = read_records(path)
    wanted = ["clip_id", "scheme", "split", "part"]
    if header != wanted:
        raise ManifestError(f"{path}, line 1: expected columns {', '.join(wanted)}; found {header}")
    rows = [SplitRow(**record, line=line) for line, record in records]
    found = _split_problems(rows, {clip.id for clip in clips})
    if found:
        raise ManifestError("\n".join(f"{path}, {problem}" for problem in found))
    return rows


def _split_problems(rows: Sequence[SplitRow], ids: set[str]) -> list[str]:
    names = {name: row.line for row in reversed(rows) for name in (row.scheme, row.split)}
    found = [
        f"line {line}: scheme and split must be plain names"
        for name, line in names.items()
        if not ID_PATTERN.fullmatch(name)
    ]
    seen: dict[tuple[str, str, str], SplitRow] = {}
    for row in rows:
        if row.clip_id not in ids:
            found.append(f"line {row.line}: clip {row.clip_id!r} is not in the manifest")
        if row.part not in PARTS:
            hint = nearest(row.part, PARTS)
            found.append(f"line {row.line}: part {row.part!r}{hint}; allowed: {', '.join(PARTS)}")
        other = seen.setdefault((row.scheme, row.split, row.clip_id), row)
        if other is not row:
            found.append(
                f"line {row.line}: clip {row.clip_id!r} is {row.part} here and {other.part} in "
                f"line {other.line} of the same split; the parts of a split must not overlap"
            )
    return found


def split_names(rows: Iterable[SplitRow], scheme: str) -> list[str]:
    """Return the names of a scheme's splits in the order of the file."""
    return list(dict.fromkeys(row.split for row in rows if row.scheme == scheme))


def shard_names(clips: int, size: int) -> list[str]:
    """Return the names of the shards of a data set with so many clips."""
    return [f"{index:05d}" for index in range(-(-clips // size))]


def shard_rows(clips: Sequence[Clip], size: int, shard: str) -> Sequence[Clip]:
    """Return the clips of one shard."""
    return clips[int(shard) * size : (int(shard) + 1) * size]


def rows_digest(
    clips: Sequence[Clip], columns: Sequence[str], contents: Mapping[str, str | None]
) -> str:
    """Identify what a stage reads of some rows.

    Args:
        clips: the rows, in order.
        columns: manifest columns that the stage reads; ``sha256`` stands for the file's content.
        contents: path -> sha256 of the file as it is now (empty when the content is not tracked).
    """
    rows = [
        [contents.get(clip.path) if name == "sha256" else clip.column(name) for name in columns]
        for clip in clips
    ]
    return digest(rows)
