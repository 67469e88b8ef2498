"""``expressway import ferv39k``: 38,935 clips of 22 scenes, one official split."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from expressway.core.errors import ManifestError
from expressway.data.importers import class_schemes, facts
from expressway.data.importers.labels import emotion
from expressway.data.importers.layout import Layout, read_lines
from expressway.data.importers.listed import Entry, Place, Problems, found, official
from expressway.data.importers.write import Found
from expressway.language.emotions import BASIC

PLACES = ("2_ClipsforFaceCrop/2_ClipsforFaceCrop", "2_ClipsforFaceCrop")
EXPECTED = (
    "4_setups/All_scenes/train_All.csv and test_All.csv  (Action/Happy/0001 Happy)",
    "2_ClipsforFaceCrop/Action/Happy/0001/*.jpg",
)


def scan(root: Path, media: str | None = None) -> Found:
    """Return the clips of FERV39k's official lists.

    Args:
        media: folder below the root that holds the scenes, when not the official one.

    Raises:
        ManifestError: the layout is another one, or the lists contradict each other.
    """
    layout = Layout(facts.FERV39K.title, root, EXPECTED)
    problems = Problems()
    entries = [entry for part in ("train", "test") for entry in _part(layout, part, problems)]
    schemes = {"without": class_schemes.leave_one_out(BASIC, "official", ["official"])}
    clips = layout.media(media, PLACES)
    result = found(clips, entries, problems, {"emotion": BASIC}, facts.FERV39K, schemes)
    result.warnings.extend(_elsewhere(entries))
    return result


def _part(layout: Layout, part: str, problems: Problems) -> Iterator[Entry]:
    path = layout.need(f"4_setups/All_scenes/{part}_All.csv", f"All_scenes/{part}_All.csv")
    read = partial(_entry, official(part))
    return problems.entries(read_lines(path), read)


def _entry(places: Sequence[Place], where: str, line: str) -> Entry:
    clip, _, name = line.strip().rpartition(" ")
    if clip.count("/") != 2:
        raise ManifestError(f"expected Scene/Emotion/NNNN and an emotion; found {line!r}")
    return Entry(clip, where, {"emotion": emotion(name)}, places)


def _elsewhere(entries: list[Entry]) -> list[str]:
    """Tell of labels that differ from the folder of the clip: signs of a shuffled list."""
    odd = [e for e in entries if emotion(e.key.split("/")[1]) != e.labels["emotion"]]
    if not odd:
        return []
    first = f"{odd[0].where}: {odd[0].key} is labelled {odd[0].labels['emotion']}"
    return [f"{len(odd)} clip(s) lie in the folder of another emotion than their label: {first}"]
