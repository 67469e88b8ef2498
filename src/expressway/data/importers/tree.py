"""Folders that tell part and class by their names: ``train/Happy/clip``.

AFEW and CAER-S are shipped so, and so are copies of still images that others have cropped.
"""

import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from expressway.core.errors import ManifestError
from expressway.core.manifest import ClassScheme
from expressway.data.importers.facts import Published
from expressway.data.importers.labels import folder_emotion
from expressway.data.importers.layout import Layout, Media, kind_of, plain, subfolders
from expressway.data.importers.listed import Entry, Place, Problems, found, official
from expressway.data.importers.write import Found

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
SKIPPED_FOLDERS = ("aligned",)


def scan(
    layout: Layout,
    media: str | None,
    labels: Mapping[str, Sequence[str]],
    published: Published,
    kinds: Container[str],
    places: Callable[[str], list[Place]] = official,
    class_schemes: Mapping[str, ClassScheme] | None = None,
) -> Found:
    """Return the clips in folders ``PART/CLASS`` below the root or one of its folders.

    Args:
        media: folder that holds the parts; default: the first that does.
        labels: label column -> its names; a class becomes a label of each column that has it.
        kinds: what a clip may be: ``video``, ``frames``, ``image``.
        places: part -> places in split schemes.

    Raises:
        ManifestError: no folder of a part holds a folder of a class, or one is no class.
    """
    problems = Problems()
    folder = layout.media(media, ()).folder if media else holder(layout)
    if folder is None:
        raise layout.error("no folders train, validation or test")
    parts = [sub for sub in subfolders(folder) if part_of(sub.name)]
    entries = [
        entry
        for sub in parts
        for entry in problems.entries(
            _clips(folder, sub, kinds), partial(_entry, labels, places(part_of(sub.name)))
        )
    ]
    if not entries:
        raise layout.error(_nothing(problems), parts[0] if parts else folder)
    return found(Media(layout.root, folder), entries, problems, labels, published, class_schemes)


def holder(layout: Layout) -> Path | None:
    """Return the root or the first folder in it that holds folders of parts, or None."""
    candidates = [layout.root, *subfolders(layout.root)]
    return next((f for f in candidates if any(part_of(s.name) for s in subfolders(f))), None)


def part_of(name: str) -> str:
    """Return the part that a folder such as ``Val_AFEW`` or ``test_set`` stands for, or nothing."""
    words = (PARTS.get(word) for word in re.split(r"[\W_]+", name.lower()))
    return next((part for part in words if part is not None), "")


def _nothing(problems: Problems) -> str:
    """Return what is wrong where no clip was found."""
    return "\n".join(["no clips in folders of classes", *problems.lines])


def _clips(root: Path, part: Path, kinds: Container[str]) -> Iterator[tuple[str, Path]]:
    for folder in subfolders(part):
        if plain(folder.name).startswith(SKIPPED_FOLDERS):
            continue
        for path in sorted(folder.iterdir()):
            if kind_of(path.name, path.is_dir()) in kinds:
                yield str(folder), path.relative_to(root)


def _entry(
    labels: Mapping[str, Sequence[str]], places: Sequence[Place], where: str, path: Path
) -> Entry:
    name = folder_emotion(path.parent.name)
    columns = {task: name for task, names in labels.items() if name in names}
    if not columns:
        raise ManifestError(f"class {name} is none of this data set's")
    return Entry(path.as_posix(), where, columns, places)
