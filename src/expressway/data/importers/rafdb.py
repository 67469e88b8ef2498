"""``expressway import rafdb``: the seven basic classes of RAF-DB, still images."""

from pathlib import Path

from expressway.core.errors import ManifestError
from expressway.data.importers import facts, tree
from expressway.data.importers.labels import numbered
from expressway.data.importers.layout import Layout, read_lines
from expressway.data.importers.listed import Entry, Problems, found, official
from expressway.data.importers.write import Found
from expressway.language.emotions import BASIC

# RAF-DB's own numbers, from 1.
ORDER = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
LISTS = ("EmoLabel/list_patition_label.txt", "basic/EmoLabel/list_patition_label.txt")
PLACES = ("Image/aligned", "basic/Image/aligned", "Image/original", "basic/Image/original")
EXPECTED = (
    "EmoLabel/list_patition_label.txt  (train_00001.jpg 5)",
    "Image/aligned/train_00001_aligned.jpg",
    "or a copy in folders of parts and classes: test/Happiness/*",
)


def scan(root: Path, media: str | None = None) -> Found:
    """Return the images of RAF-DB's basic set.

    Args:
        media: folder below the root that holds the images.

    Raises:
        ManifestError: the layout is another one, or a line of the list cannot be read.
    """
    layout = Layout(facts.RAFDB.title, root, EXPECTED)
    if layout.find(*LISTS) is None and tree.holder(layout):
        return tree.scan(layout, media, {"emotion": BASIC}, facts.RAFDB, ("image",))
    problems = Problems()
    lines = read_lines(layout.need(*LISTS))
    clips = layout.media(media, PLACES)
    ending = "_aligned" if clips.folder.name == "aligned" else ""
    entries = problems.entries(lines, lambda where, line: _entry(where, line, ending))
    return found(clips, entries, problems, {"emotion": BASIC}, facts.RAFDB)


def _entry(where: str, line: str, ending: str) -> Entry:
    name, _, number = line.strip().partition(" ")
    part, underscore, _ = name.partition("_")
    if part not in ("train", "test") or not underscore:
        raise ManifestError(f"expected a name like train_00001.jpg and a label; found {line!r}")
    labels = {"emotion": numbered(number, ORDER, first=1)}
    return Entry(f"{Path(name).stem}{ending}", where, labels, official(part))
