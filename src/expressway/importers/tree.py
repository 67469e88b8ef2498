"""Folders that tell part and class by their names: ``train/Happy/clip``."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

from expressway.importers.labels import folder_emotion
from expressway.importers.layout import Layout, kind_of, plain, subfolders
from expressway.importers.listed import Entry, Place, Problems, official

PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
# AFEW ships its aligned faces beside the folders of the classes.
PASSED_OVER = ("aligned",)


def entries(
    layout: Layout,
    folder: Path,
    problems: Problems,
    parts: Collection[str],
    places: Callable[[str], list[Place]] = official,
) -> list[Entry]:
    """Return an entry per clip below ``folder/PART/CLASS``; keys start from ``folder``.

    Args:
        parts: parts that are looked for.
        places: part -> places in split schemes.

    Raises:
        ManifestError: no folder of a part holds a folder with clips.
    """
    found = [
        entry
        for sub in subfolders(folder)
        if (part := part_of(sub.name)) in parts
        for entry in problems.entries(_clips(folder, sub), partial(_entry, places(part)))
    ]
    if not found and not problems.lines:
        raise layout.error(f"no clips in folders of classes in {' or '.join(parts)}", folder)
    return found


def part_of(name: str) -> str:
    """Return the part that a folder such as ``Val_AFEW`` or ``test_set`` stands for, or nothing."""
    words = (PARTS.get(word) for word in re.split(r"[\W_]+", name.lower()))
    return next((part for part in words if part is not None), "")


def _clips(root: Path, part: Path) -> Iterator[tuple[str, Path]]:
    for folder in subfolders(part):
        if plain(folder.name).startswith(PASSED_OVER):
            continue
        for path in sorted(folder.iterdir()):
            if kind_of(path.name, path.is_dir()) is not None:
                yield str(folder), path.relative_to(root)


def _entry(places: Sequence[Place], where: str, path: Path) -> Entry:
    labels = {"emotion": folder_emotion(path.parent.name)}
    return Entry(path.as_posix(), where, labels, places)
