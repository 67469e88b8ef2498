"""``expressway import dfew``: 11,697 single-labelled clips in five folds."""

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from expressway.core.errors import ManifestError
from expressway.data.importers import class_schemes, facts
from expressway.data.importers.labels import numbered
from expressway.data.importers.layout import Layout, read_lines
from expressway.data.importers.listed import Entry, Place, Problems, found
from expressway.data.importers.write import Found
from expressway.language.emotions import BASIC

FOLDS = range(1, 6)
PLACES = (
    "Clip/clip_224x224",
    "Clip/jpg_256",
    "Clip/jpg_224",
    "DFEW_Frame_Face",
    "Clip/original",
)
EXPECTED = (
    "EmoLabel_DataSplit/train(single-labeled)/set_1.csv ... set_5.csv  (video_name,label)",
    "EmoLabel_DataSplit/test(single-labeled)/set_1.csv ... set_5.csv",
    "Clip/clip_224x224/00001/*.jpg, or Clip/original/1.mp4",
)


def scan(root: Path, media: str | None = None) -> Found:
    """Return the clips of DFEW's five folds, in the order of their numbers.

    Args:
        media: folder below the root that holds the clips, when not the first official one.

    Raises:
        ManifestError: the layout is another one, or the lists contradict each other.
    """
    layout = Layout(facts.DFEW.title, root, EXPECTED)
    problems = Problems()
    entries = [entry for fold in FOLDS for entry in _fold(layout, fold, problems)]
    schemes = {
        "open": class_schemes.hesp("dfew", BASIC, "folds", ["fold1"]),
        "without": class_schemes.leave_one_out(BASIC, "folds", ["fold1"]),
    }
    clips = layout.media(media, PLACES)
    return found(clips, entries, problems, {"emotion": BASIC}, facts.DFEW, schemes)


def _fold(layout: Layout, fold: int, problems: Problems) -> Iterator[Entry]:
    for part in ("train", "test"):
        path = layout.need(f"EmoLabel_DataSplit/{part}(single-labeled)/set_{fold}.csv")
        read = partial(_entry, ("folds", f"fold{fold}", part))
        yield from problems.entries(read_lines(path), read)


def _entry(place: Place, where: str, line: str) -> Entry | None:
    row = [cell.strip() for cell in next(csv.reader([line]))]
    if row == ["video_name", "label"]:
        return None
    if len(row) != 2 or not row[0].isdigit():
        raise ManifestError(f"expected a clip's number and its label; found {line!r}")
    labels = {"emotion": numbered(row[1], BASIC, first=1)}
    return Entry(f"{int(row[0]):05d}", where, labels, [place])
