"""``expressway import mafw``: single and compound labels, five folds of each, and captions."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from expressway.core.errors import ManifestError
from expressway.core.manifest import ClassScheme
from expressway.data.importers import class_schemes, facts, list_files
from expressway.data.importers.labels import MAFW_MULTIPLE, compound, emotion
from expressway.data.importers.layout import Layout, read_lines, subfolders
from expressway.data.importers.listed import Entry, Place, Problems, found
from expressway.data.importers.write import Found
from expressway.language.emotions import BASIC, ELEVEN

FOLDS = range(1, 6)
LISTS = ("Train & Test Set", "Labels/Train & Test Set", "label", ".")
PLACES = ("data/clips", "data/frames", "data/faces", "clips", "frames", "faces")
EXPECTED = (
    "Train & Test Set/single/no_caption/set_1/train.txt and test.txt ... set_5",
    "Train & Test Set/single/with_caption/set_1/train.txt ...  (captions; may be absent)",
    "Train & Test Set/compound/...  (the same; may be absent)",
    "data/clips/00001.mp4, data/frames/00001/* or data/faces/00001/*",
)
# Some lines of the official lists lack a caption.
FIELDS = ("clip", "label", "Chinese caption", "English caption")
COMPOUND = (*ELEVEN, *MAFW_MULTIPLE)
POOLED = (*BASIC, "compound")


def scan(root: Path, media: str | None = None, hesp: Sequence[Path] = ()) -> Found:
    """Return the clips of MAFW's single and compound sets.

    Args:
        media: folder below the root that holds the clips, when not the first official one.
        hesp: HESP's list files, train and test, which become the scheme ``hesp``.

    Raises:
        ManifestError: the layout is another one, or the lists contradict each other.
    """
    layout = Layout(facts.MAFW.title, root, EXPECTED)
    problems = Problems()
    entries = list(_set(layout, "single", problems))
    has_compound = layout.find(*(f"{place}/compound" for place in LISTS)) is not None
    if has_compound:
        entries += _set(layout, "compound", problems)
    for path in hesp:
        entries += list_files.hesp_entries(path, problems)
    labels: dict[str, Sequence[str]] = {"emotion": ELEVEN}
    if has_compound:
        labels |= {"compound": COMPOUND, "basic_or_compound": POOLED}
    clips = layout.media(media, PLACES)
    schemes = _class_schemes(has_compound, bool(hesp))
    return found(clips, entries, problems, labels, facts.MAFW, schemes)


def _set(layout: Layout, kind: str, problems: Problems) -> Iterator[Entry]:
    """Read one set: its first folder of lists gives the splits, those with captions add these."""
    base = layout.need(*(f"{place}/{kind}" for place in LISTS))
    folders = [folder for folder in (base, *subfolders(base)) if (folder / "set_1").is_dir()]
    folders.sort(key=lambda folder: ("no_caption" not in folder.name, folder.name))
    if not folders:
        raise layout.error(f"no set_1 below {base.relative_to(layout.root)}", base)
    captioned = [folder for folder in folders[1:] if folder.name.startswith("with_caption")]
    for name, place in _lists(kind):
        path = folders[0] / name
        if not path.is_file():
            raise layout.error(f"no {path.relative_to(layout.root)}", folders[0])
        yield from problems.entries(read_lines(path), partial(_entry, kind, [place]))
        for extra in filter(Path.is_file, (folder / name for folder in captioned)):
            yield from problems.entries(read_lines(extra), partial(_entry, kind, []))


def _lists(kind: str) -> Iterator[tuple[str, Place]]:
    for number in FOLDS:
        for part in ("train", "test"):
            yield f"set_{number}/{part}.txt", (kind, f"fold{number}", part)


def _entry(kind: str, places: Sequence[Place], where: str, line: str) -> Entry:
    cells = [cell.strip() for cell in (line.split("\t") if "\t" in line else line.split())]
    if len(cells) < 2 or ("\t" not in line and len(cells) > 2):
        raise ManifestError(f"expected a clip, its label, and captions after tabs; found {line!r}")
    labels = {"emotion": emotion(cells[1])} if kind == "single" else _compound(cells[1])
    texts = cells[2:] if len(cells) == len(FIELDS) else ["", ""]
    chinese, english = ("" if text == "-" else text for text in texts)
    return Entry(Path(cells[0]).stem, where, labels, places, english, chinese)


def _compound(text: str) -> dict[str, str]:
    name = compound(text)
    if name not in COMPOUND:
        raise ManifestError(f"{text!r} is none of MAFW's 43 compound classes")
    pooled = "compound" if name in MAFW_MULTIPLE else name
    return {"compound": name} | ({"basic_or_compound": pooled} if pooled in POOLED else {})


def _class_schemes(has_compound: bool, has_hesp: bool) -> dict[str, ClassScheme]:
    schemes = {
        "open": class_schemes.hesp("mafw", ELEVEN, "single", ["fold1"]),
        "seven": class_schemes.basic_known("four-unknown", ELEVEN, "single", ["fold1"]),
        "without": class_schemes.leave_one_out(ELEVEN, "single", ["fold1"]),
    }
    if has_hesp:
        schemes |= {
            "open_hesp": class_schemes.hesp("mafw", ELEVEN, "hesp", ["hesp"]),
            "seven_hesp": class_schemes.basic_known("four-unknown", ELEVEN, "hesp", ["hesp"]),
        }
    if has_compound:
        pooled = class_schemes.basic_known(
            "pooled-unknown", POOLED, "compound", ["fold1"], "basic_or_compound"
        )
        schemes["seven_pooled"] = pooled
    return schemes
