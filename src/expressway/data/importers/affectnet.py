"""``expressway import affectnet``: manually labelled images of AffectNet, in either release."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from expressway.core.errors import ManifestError
from expressway.data.importers import facts, tree
from expressway.data.importers.layout import Layout, records
from expressway.data.importers.listed import Entry, Problems, found, hidden_test
from expressway.data.importers.write import Found
from expressway.language.emotions import BASIC, EIGHT

# AffectNet's own numbers; 8, 9 and 10 are no emotion, uncertain, and no face.
ORDER = (
    *("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"),
    *("none", "uncertain", "no_face"),
)
PARTS = {"train": ("train_set", "training.csv"), "validation": ("val_set", "validation.csv")}
LISTS = ("Manually_Annotated_file_lists", "Manually_Annotated/file_lists", ".")
VALIDATION = tuple(f"{place}/validation.csv" for place in LISTS)
PLACES = (
    "Manually_Annotated_Images",
    "Manually_Annotated/Manually_Annotated_Images",
    "Manually_Annotated",
)
EXPECTED = (
    "train_set/images/0.jpg, train_set/annotations/0_exp.npy, val_set/...; or",
    "training.csv and validation.csv  (subDirectory_filePath,...,expression,...)",
    "Manually_Annotated_Images/SUBFOLDER/IMAGE",
    "or a copy in folders of parts and classes: val/Happiness/*",
)


def scan(root: Path, media: str | None = None) -> Found:
    """Return AffectNet's images of eight classes, whose test labels are not public.

    The scheme ``official`` has train and validation; in ``published`` the validation images are the
    test. The column ``basic_emotion`` lacks contempt: AffectNet-7.

    Args:
        media: folder below the root that holds the images of the lists.

    Raises:
        ManifestError: the layout is another one, or a label cannot be read.
    """
    layout = Layout(facts.AFFECTNET.title, root, EXPECTED)
    labels = {"emotion": EIGHT, "basic_emotion": BASIC}
    problems = Problems()
    if layout.find("val_set/annotations", "train_set/annotations"):
        lines, clips = list(_annotated(layout)), layout.media(media, (".",))
    elif layout.find(*VALIDATION) is None and tree.holder(layout):
        return tree.scan(layout, media, labels, facts.AFFECTNET, ("image",), hidden_test)
    else:
        layout.need(*VALIDATION)
        lines, clips = list(_listed(layout)), layout.media(media, PLACES)
    entries = list(problems.entries(lines, _entry))
    result = found(clips, entries, problems, labels, facts.AFFECTNET)
    left = len(lines) - len(entries)
    note = f"{left} image(s) without one of the eight emotions are left out"
    return replace(result, notes=[*result.notes, note])


def _entry(where: str, line: tuple[str, str, str]) -> Entry | None:
    key, part, number = line
    if not number.isdigit() or int(number) >= len(ORDER):
        raise ManifestError(f"expression {number!r}; expected a number from 0 to {len(ORDER) - 1}")
    name = ORDER[int(number)]
    if name not in EIGHT:
        return None
    labels = {"emotion": name} | ({"basic_emotion": name} if name in BASIC else {})
    return Entry(key, where, labels, hidden_test(part))


def _listed(layout: Layout) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Yield key, part and number of the lines of the lists of the first release."""
    for part, (_, name) in PARTS.items():
        path = layout.find(*(f"{place}/{name}" for place in LISTS))
        if path is None:
            continue
        for number, row in records(path, ("subDirectory_filePath", "expression")):
            key, label = row["subDirectory_filePath"], row["expression"]
            yield f"{path}, line {number}", (key, part, label.strip())


def _annotated(layout: Layout) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Yield key, part and number of the annotation files of the later release."""
    for part, (folder, _) in PARTS.items():
        annotations = layout.find(f"{folder}/annotations")
        for path in sorted(annotations.glob("*_exp.npy")) if annotations else ():
            key = f"{folder}/images/{path.name.removesuffix('_exp.npy')}"
            yield str(path), (key, part, _number(path))


def _number(path: Path) -> str:
    """Return the number in an annotation file; nothing in the file is run or unpacked."""
    import numpy as np

    try:
        # mapped, since a header may promise more than the file holds
        value = np.load(path, mmap_mode="r", allow_pickle=False)
        return str(value.item()).removesuffix(".0")
    except (OSError, ValueError, EOFError) as error:
        raise ManifestError(f"{path}: expected one number in NumPy's format: {error}") from error
