"""``expressway import folder``: every video (or image, or folder of frames) below a folder."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from expressway.core.errors import ManifestError, RowFailure
from expressway.core.fingerprints import digest
from expressway.core.manifest import ID_PATTERN
from expressway.data.importers.write import Found

VIDEO_SUFFIXES = frozenset(
    (
        ".mp4",
        ".m4v",
        ".mov",
        ".avi",
        ".mkv",
        ".webm",
        ".mpg",
        ".mpeg",
        ".wmv",
        ".flv",
        ".ts",
        ".mts",
    )
)
IMAGE_SUFFIXES = frozenset([".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"])
Kind = Literal["video", "frames", "image"]


def scan(
    folder: Path, kind: Kind = "video", label: str | None = None, segment: float | None = None
) -> Found:
    """Return a manifest row per clip below ``folder``, sorted by path.

    Args:
        kind: ``video`` files, ``image`` files, or ``frames`` (a clip per folder of images).
        label: name of a label column to fill with the name of each clip's parent folder.
        segment: cut videos into clips of so many seconds; subject and video are kept.

    Raises:
        ManifestError: the folder is missing or holds nothing of that kind.
    """
    if not folder.is_dir():
        raise ManifestError(f"{folder}: no such folder")
    paths = sorted(_entries(folder, kind))
    if not paths:
        raise ManifestError(f"{folder}: no {kind} found below it; {_hint(kind)}")
    rows = [_row(folder, path, kind, label) for path in paths]
    make_unique(rows)
    if segment is not None:
        rows = [part for row in rows for part in segments(row, folder, segment)]
    names = sorted({row[label] for row in rows}) if label else []
    return Found(folder.resolve(), rows, labels={label: names} if label else {})


def _hint(kind: Kind) -> str:
    suffixes = VIDEO_SUFFIXES if kind == "video" else IMAGE_SUFFIXES
    return f"expected files ending in {' '.join(sorted(suffixes))} (or choose another --kind)"


def _entries(folder: Path, kind: Kind) -> Iterator[Path]:
    suffixes = VIDEO_SUFFIXES if kind == "video" else IMAGE_SUFFIXES
    files = (
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes and path.is_file() and not _hidden(path, folder)
    )
    return iter({path.parent for path in files}) if kind == "frames" else files


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _row(folder: Path, path: Path, kind: Kind, label: str | None) -> dict[str, str]:
    relative = path.relative_to(folder)
    row = {"id": clip_id(relative), "path": relative.as_posix(), "kind": kind}
    row["video"] = row["id"]
    return row | ({label: path.parent.name} if label else {})


def clip_id(relative: Path) -> str:
    """Return an id made of a relative path; odd characters become a dash and a short digest."""
    text = relative.with_suffix("").as_posix().replace("/", "--")
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip(".-")[:120]
    if plain == text and ID_PATTERN.fullmatch(plain):
        return plain
    return f"{plain or 'clip'}-{digest(relative.as_posix())[:8]}".replace("--" * 2, "--")


def make_unique(rows: Iterable[dict[str, str]]) -> None:
    """Tell apart ids that differ only in case or in the files' suffixes."""
    seen: set[str] = set()
    for row in rows:
        if row["id"].lower() in seen:
            row["id"] = f"{row['id']}-{digest(row['path'])[:8]}"
            row["video"] = row["id"]
        seen.add(row["id"].lower())


def segments(row: dict[str, str], root: Path, seconds: float) -> list[dict[str, str]]:
    """Return the clips of one recording, each at most ``seconds`` long.

    A recording that cannot be probed stays one row, so that it is reported and not lost.
    """
    from expressway.media.probe import facts

    try:
        duration = facts(root / row["path"]).duration or 0.0
    except RowFailure:
        return [row]
    count = max(1, -int(-duration // seconds))
    return [
        row
        | {
            "id": f"{row['id']}-{index:04d}",
            "start": f"{index * seconds:g}",
            "end": f"{min((index + 1) * seconds, duration):g}",
        }
        for index in range(count)
    ]
