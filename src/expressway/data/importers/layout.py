"""Finding a data set's files where its owners put them, and saying what is there when they are not.

Names of folders are compared without case, spaces and punctuation, since copies differ in them:
``Train & Test Set``, ``Train_Test_Set``.
"""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from expressway.core.errors import ManifestError
from expressway.core.fingerprints import is_frame
from expressway.core.manifest import path_problem
from expressway.data.importers.folder import IMAGE_SUFFIXES, VIDEO_SUFFIXES

SHOWN = 12


@dataclass(frozen=True)
class Layout:
    """The folder of a data set, with the lines that describe what should be below it."""

    title: str
    root: Path
    expected: Sequence[str]

    def find(self, *places: str) -> Path | None:
        """Return the first of some files or folders (relative, with ``/``) that is there."""
        found = (_walk(self.root, place)[0] for place in places)
        return next((path for path in found if path is not None), None)

    def need(self, *places: str) -> Path:
        """Return the first of some files or folders that is there.

        Raises:
            ManifestError: none is; the message shows what was expected and what was found.
        """
        found = self.find(*places)
        if found is not None:
            return found
        deepest = max((_walk(self.root, place)[1] for place in places), key=_depth)
        raise self.error(f"no {' or '.join(places)}", deepest)

    def error(self, problem: str, folder: Path | None = None) -> ManifestError:
        """Return an error that shows the expected layout and what is in ``folder``."""
        shown = folder or self.root
        return ManifestError(
            "\n".join(
                [
                    f"{self.root} is not laid out as {self.title} is: {problem}",
                    "expected below it:",
                    *(f"  {line}" for line in self.expected),
                    f"found in {shown}:",
                    f"  {entries(shown)}",
                ]
            )
        )

    def media(self, chosen: str | None, places: Sequence[str]) -> "Media":
        """Return the place of the clips: the one the user chose, or the first that is there."""
        problem = path_problem(chosen) if chosen else None
        if problem:
            raise ManifestError(f"--media: {chosen!r} {problem}")
        folder = self.need(chosen) if chosen else self.need(*places)
        others = [path for place in places if (path := self.find(place)) is not None]
        return Media(self.root, folder, [p for p in others if p not in (folder, *folder.parents)])


def _depth(path: Path) -> int:
    return len(path.parts)


def _walk(root: Path, place: str) -> tuple[Path | None, Path]:
    """Return where ``place`` is, and the deepest folder on the way that is there."""
    here = root
    for part in PurePosixPath(place).parts:
        exact = here / part
        step = exact if exact.exists() else _alike(here, part)
        if step is None:
            return None, here
        here = step
    return here, here


def _alike(folder: Path, name: str) -> Path | None:
    if not folder.is_dir():
        return None
    return next((p for p in sorted(folder.iterdir()) if plain(p.name) == plain(name)), None)


def plain(name: str) -> str:
    """Return a name without case, spaces and punctuation."""
    return re.sub(r"[\W_]+", "", name.lower())


def entries(folder: Path) -> str:
    """Return the first names in a folder, in one line."""
    if not folder.is_dir():
        return "nothing: no such folder"
    names = sorted(f"{p.name}/" if p.is_dir() else p.name for p in folder.iterdir())
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ("  ".join(names[:SHOWN]) or "nothing: the folder is empty") + more


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted, without hidden ones; none when it is missing."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def read_text(path: Path) -> str:
    """Return the text of an official list: UTF-8, or GBK where it is not UTF-8.

    Raises:
        ManifestError: it is neither.
    """
    data = path.read_bytes()
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ManifestError(f"{path}: neither UTF-8 nor GBK text; fetch the list again")


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Return the lines of a list that are not blank, each after its ``file, line N``."""
    lines = enumerate(read_text(path).splitlines(), start=1)
    return [(f"{path}, line {number}", line) for number, line in lines if line.strip()]


def records(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and cells of the rows of a list with a header.

    Raises:
        ManifestError: a column is missing; the message shows those that are there.
    """
    reader = csv.DictReader(read_text(path).splitlines())
    there = list(reader.fieldnames or ())
    missing = [name for name in columns if name not in there]
    if missing:
        raise ManifestError(
            f"{path}, line 1: expected the columns {', '.join(columns)}; missing "
            f"{', '.join(missing)}; found {', '.join(there) or 'nothing'}"
        )
    for row in reader:
        yield reader.line_num, row


@dataclass(frozen=True)
class File:
    """A clip on disk, relative to the root; ``frames`` and ``others`` count a folder's files."""

    path: str
    kind: str
    frames: int | None = None
    others: int = 0


class Media:
    """The folder that holds the clips: folders of frames, videos or images, found by name.

    ``others`` are further folders that hold the same clips in another form.
    """

    def __init__(self, root: Path, folder: Path, others: Sequence[Path] = ()) -> None:
        self.root = root
        self.folder = folder
        self.place = folder.relative_to(root).as_posix()
        self.others = [path.relative_to(root).as_posix() for path in others]
        self._known: dict[str, dict[str, tuple[str, str]]] = {}
        self._suffixes: Counter[tuple[str, str]] = Counter()

    def find(self, key: str) -> File | None:
        """Return the clip with a relative path, given with or without suffix and leading zeros."""
        parent, _, name = key.rpartition("/")
        listing = self._listing(parent)
        known = (name, _stem(name), name.lstrip("0"), _stem(name).lstrip("0"))
        match = next((listing[each] for each in known if each in listing), None)
        if match is None:
            return None
        path, kind = match
        self._suffixes[kind, Path(path).suffix if kind != "frames" else ""] += 1
        frames, others = _count(self.folder / path) if kind == "frames" else (None, 0)
        return File(self._below_root(path), kind, frames, others)

    def guess(self, key: str) -> File:
        """Return where a clip that is missing would be, after those that are there."""
        common = self._suffixes.most_common(1)
        kind, suffix = common[0][0] if common else ("frames", "")
        name = key if key.endswith(suffix) else f"{key.removesuffix(Path(key).suffix)}{suffix}"
        return File(self._below_root(name), kind)

    def _below_root(self, path: str) -> str:
        return path if self.place == "." else f"{self.place}/{path}"

    def _listing(self, parent: str) -> dict[str, tuple[str, str]]:
        if parent not in self._known:
            self._known[parent] = _list(self.folder, parent)
        return self._known[parent]


def _stem(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return Path(name).stem if suffix in VIDEO_SUFFIXES | IMAGE_SUFFIXES else name


def _list(folder: Path, parent: str) -> dict[str, tuple[str, str]]:
    """Return what the clips of one folder may be called -> relative path and kind."""
    found: dict[str, tuple[str, str]] = {}
    for kind in ("image", "video", "frames"):
        for name in _names(folder / parent, kind):
            value = (f"{parent}/{name}" if parent else name, kind)
            found |= dict.fromkeys((_stem(name).lstrip("0"), _stem(name), name), value)
    return found


def _names(folder: Path, kind: str) -> list[str]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as scan:
        return [entry.name for entry in scan if kind_of(entry.name, entry.is_dir()) == kind]


def kind_of(name: str, folder: bool) -> str | None:
    """Return what sort of clip a file or folder is by its name, or None."""
    if name.startswith("."):
        return None
    if folder:
        return "frames"
    suffix = Path(name).suffix.lower()
    return "video" if suffix in VIDEO_SUFFIXES else "image" if suffix in IMAGE_SUFFIXES else None


def _count(folder: Path) -> tuple[int, int]:
    """Return how many images and how many other files a folder of frames holds."""
    with os.scandir(folder) as scan:
        names = [entry.name for entry in scan if not entry.name.startswith(".")]
    frames = sum(is_frame(name) for name in names)
    return frames, len(names) - frames
