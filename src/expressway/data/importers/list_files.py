"""``expressway import list``: lists as DFER-CLIP and Exp-CLIP ship them, and HESP's.

A line is ``<folder of frames> <number of frames> <class>``; HESP adds the class's name. The folders
are those of the authors' machines, so their beginning is replaced or found.
"""

import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from expressway.core.errors import ManifestError
from expressway.data.importers import facts
from expressway.data.importers.labels import emotion
from expressway.data.importers.layout import Media, read_lines
from expressway.data.importers.listed import Entry, Place, Problems, found
from expressway.data.importers.write import Found
from expressway.language.emotions import BASIC, EIGHT, ELEVEN

FILE_PATTERN = re.compile(
    r"(?P<name>.+?)(_set_(?P<fold>\d+))?_(?P<part>train|test|validation|val)", re.IGNORECASE
)
LINE_PATTERN = re.compile(r"(?P<path>.+?)\s+(?P<frames>\d+)\s+(?P<number>\d+)(\s+(?P<word>\S+))?")
PARTS = {"val": "validation"}


@dataclass(frozen=True)
class Line:
    """One line of a list: folder as written, frames, number of the class, its name if stated."""

    path: str
    frames: int
    number: int
    word: str | None


def scan(files: Sequence[Path], root: Path, rewrite: Sequence[str] = ()) -> Found:
    """Return the clips of list files, whose names tell the part: ``DFEW_set_1_train.txt``.

    Classes are numbered as in DFER-CLIP's lists: happiness, sadness, neutral, anger, surprise,
    disgust, fear, contempt, anxiety, helplessness, disappointment.

    Args:
        root: folder of the clips.
        rewrite: ``OLD=NEW`` pairs that replace the beginning of the listed folders by a folder
            below the root; without any, as many leading folders are dropped as lead to most clips.

    Raises:
        ManifestError: a file's name or a line cannot be read, or no clip is there.
    """
    if not root.is_dir():
        raise ManifestError(f"{root}: no such folder")
    problems = Problems()
    read = {path: list(_lines(path, problems)) for path in files}
    problems.check()
    lines = [line for each in read.values() for _, line in each]
    titles = {_named(path)["name"].lower() for path in files}
    published = facts.BY_NAME.get(titles.pop()) if len(titles) == 1 else None
    names = _names(lines, published)
    pairs = [_pair(text) for text in rewrite]
    cut = 0 if pairs else _cut(root, {line.path for line in lines})
    entries = [
        entry
        for path, each in read.items()
        for entry in problems.entries(each, partial(_entry, _place(path), names, pairs, cut))
    ]
    return found(Media(root, root), entries, problems, {"emotion": names}, published)


def hesp_entries(path: Path, problems: Problems) -> Iterator[Entry]:
    """Return the clips of one of HESP's lists of MAFW, for the scheme ``hesp``."""
    place = ("hesp", "hesp", "train" if "train" in path.stem.lower() else "test")
    return problems.entries(_lines(path, problems), partial(_hesp_entry, place))


def _hesp_entry(place: Place, where: str, line: Line) -> Entry:
    if line.word is None:
        raise ManifestError("expected folder, frames, number and name of the class")
    return Entry(PurePosixPath(line.path).name, where, {"emotion": emotion(line.word)}, [place])


def _lines(path: Path, problems: Problems) -> Iterator[tuple[str, Line]]:
    if not path.is_file():
        raise ManifestError(f"{path}: no such file")
    for where, text in read_lines(path):
        match = LINE_PATTERN.fullmatch(text.strip())
        if match is None:
            problems.add(f"{where}: expected 'folder frames class'; found {text!r}")
            continue
        folder = match["path"].replace("\\", "/").strip("/")
        yield where, Line(folder, int(match["frames"]), int(match["number"]), match["word"])


def _names(lines: Sequence[Line], published: facts.Published | None) -> tuple[str, ...]:
    """Return the classes of a list: its data set's, or as many as its numbers ask for."""
    if published and published.emotions:
        return tuple(name for name in ELEVEN if name in published.emotions)
    largest = max((line.number for line in lines), default=0)
    return next((names for names in (BASIC, EIGHT) if largest < len(names)), ELEVEN)


def _entry(
    place: Place,
    names: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    cut: int,
    where: str,
    line: Line,
) -> Entry:
    if line.word is None and line.number >= len(names):
        raise ManifestError(f"class {line.number}; expected a number from 0 to {len(names) - 1}")
    name = emotion(line.word) if line.word else names[line.number]
    key = _rewritten(line.path, pairs) if pairs else _tail(line.path, cut)
    return Entry(key, where, {"emotion": name}, [place], frames=line.frames)


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not old or not equals:
        raise ManifestError(f"--rewrite {text!r}: expected OLD=NEW")
    return old.strip("/"), new.strip("/")


def _rewritten(path: str, pairs: Sequence[tuple[str, str]]) -> str:
    for old, new in pairs:
        if path == old or path.startswith(f"{old}/"):
            return f"{new}{path[len(old) :]}".strip("/")
    known = ", ".join(old for old, _ in pairs)
    raise ManifestError(f"folder {path!r} begins with none of the rewritten ones: {known}")


def _cut(root: Path, paths: Set[str]) -> int:
    """Return how many leading folders to drop, so that most of the clips are below the root."""
    depth = max((path.count("/") for path in paths), default=0)
    hits = [sum((root / _tail(path, cut)).exists() for path in paths) for cut in range(depth + 1)]
    return hits.index(max(hits))


def _tail(path: str, cut: int) -> str:
    parts = path.split("/")
    return "/".join(parts[min(cut, len(parts) - 1) :])


def _named(path: Path) -> re.Match[str]:
    match = FILE_PATTERN.fullmatch(path.stem)
    if match is None:
        raise ManifestError(
            f"{path}: the name of a list tells the part of its clips; expected one like "
            "DFEW_set_1_train.txt, FERV39k_test.txt, AFEW_validation.txt"
        )
    return match


def _place(path: Path) -> Place:
    match = _named(path)
    part = PARTS.get(match["part"].lower(), match["part"].lower())
    if match["fold"] is None:
        return "official", "official", part
    scheme = "single" if match["name"].lower() == "mafw" else "folds"
    return scheme, f"fold{match['fold']}", part
