"""``expressway import ferplus``: FER2013's faces with the ten votes of FER+ each."""

from collections.abc import Iterator
from pathlib import Path

from expressway.core.errors import ManifestError
from expressway.data.importers import facts, tree
from expressway.data.importers.layout import Layout, records
from expressway.data.importers.listed import Entry, Problems, found, official
from expressway.data.importers.write import Found
from expressway.language.emotions import EIGHT

# Columns of the votes; the last two are no emotions.
VOTES = (
    *("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
    *("unknown", "NF"),
)
PARTS = {
    "Training": ("train", "FER2013Train"),
    "PublicTest": ("validation", "FER2013Valid"),
    "PrivateTest": ("test", "FER2013Test"),
}
EXPECTED = (
    "fer2013new.csv  (Usage,Image name,neutral,happiness,...,unknown,NF)",
    "data/FER2013Train/fer0000000.png, data/FER2013Valid/*.png, data/FER2013Test/*.png",
    "or a copy in folders of parts and classes: test/Happiness/*",
)


def scan(root: Path, media: str | None = None) -> Found:
    """Return the images whose votes have a majority for one of eight emotions.

    Single votes are removed; the winner must hold more than half of the votes that remain.

    Args:
        media: folder below the root that holds FER2013Train, FER2013Valid and FER2013Test.

    Raises:
        ManifestError: the layout is another one, or a row has no votes.
    """
    layout = Layout(facts.FERPLUS.title, root, EXPECTED)
    if layout.find("fer2013new.csv") is None and tree.holder(layout):
        return tree.scan(layout, media, {"emotion": EIGHT}, facts.FERPLUS, ("image",))
    problems = Problems()
    path = layout.need("fer2013new.csv")
    clips = layout.media(media, ("data", "."))
    present = [usage for usage, (_, folder) in PARTS.items() if (clips.folder / folder).is_dir()]
    if not present:
        raise layout.error("no folder FER2013Test", clips.folder)
    rows = [(where, row) for where, row in _rows(path) if row["Usage"] not in {*PARTS} - {*present}]
    entries = list(problems.entries(rows, _entry))
    result = found(clips, entries, problems, {"emotion": EIGHT}, facts.FERPLUS)
    left = len(rows) - len(entries)
    result.notes.append(f"{left} image(s) without a majority for an emotion are left out")
    return result


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    for number, row in records(path, ("Usage", "Image name", *VOTES)):
        if row["Image name"].strip():
            yield f"{path}, line {number}", row


def _entry(where: str, row: dict[str, str]) -> Entry | None:
    if row["Usage"] not in PARTS:
        raise ManifestError(f"usage {row['Usage']!r}; expected {', '.join(PARTS)}")
    part, folder = PARTS[row["Usage"]]
    name = majority(row)
    if name is None:
        return None
    key = f"{folder}/{Path(row['Image name'].strip()).stem}"
    return Entry(key, where, {"emotion": name}, official(part))


def majority(row: dict[str, str]) -> str | None:
    """Return the emotion with more than half of the votes, single ones aside, or None."""
    try:
        votes = {name: int(row[name]) for name in VOTES}
    except ValueError as error:
        raise ManifestError(f"votes are numbers: {error}") from None
    kept = {name: count if count > 1 else 0 for name, count in votes.items()}
    winner = max(VOTES, key=lambda name: kept[name])
    return winner if winner in EIGHT and 2 * kept[winner] > sum(kept.values()) else None
