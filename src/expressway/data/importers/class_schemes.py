"""Splits of the classes into known and unknown: leave-one-out, and HESP's open-set tasks."""

from collections.abc import Iterable, Sequence

from expressway.core.manifest import ClassScheme
from expressway.language.emotions import BASIC, MAFW_ORDER

# HESP numbers MAFW's classes in MAFW's own order. For AFEW and DFEW its release states no names;
# the first seven numbers are taken to mean the same classes there.
HESP_ORDER = MAFW_ORDER

# Numbers of the known classes of HESP's random splits 0 to 19, five per count of known classes.
# "53 63 ..." is {5, 3}, {6, 3}, ...; A is 10. Source: the split file of HESP's release.
HESP_KNOWN = {
    "afew": "53 63 15 12 04 312 041 235 634 465 6035 2160 5341 0231 3402 25361 30461 60415 "
    "56134 46210",
    "mafw": "A56 153 1A2 624 289 25A04 05268 1A374 41632 80436 247A10 9A5412 691A72 A48905 "
    "523894 42581963 29610834 5480A361 07692451 236079A1",
    "dfew": "61 54 40 31 15 146 015 135 215 021 0125 6521 3514 5023 5402 24036 35102 06543 "
    "40256 40156",
}


def hesp(dataset: str, names: Sequence[str], scheme: str, splits: Sequence[str]) -> ClassScheme:
    """Return HESP's 20 open-set splits of a data set, ``open-00`` to ``open-19``.

    Args:
        dataset: ``afew``, ``mafw`` or ``dfew``; each has lists of its own.
        names: all classes in the data set's order.
        scheme: split scheme of the clips, of which ``splits`` are used.
    """
    known = {
        f"open-{index:02d}": _in_order(names, (HESP_ORDER[int(digit, 16)] for digit in numbers))
        for index, numbers in enumerate(HESP_KNOWN[dataset].split())
    }
    return ClassScheme(scheme=scheme, splits=list(splits), known=known)


def leave_one_out(
    names: Sequence[str], scheme: str, splits: Sequence[str], task: str = "emotion"
) -> ClassScheme:
    """Return a split per class that leaves it out of training: ``without-anger``."""
    known = {f"without-{name}": [each for each in names if each != name] for name in names}
    return ClassScheme(task=task, scheme=scheme, splits=list(splits), known=known)


def basic_known(
    name: str, names: Sequence[str], scheme: str, splits: Sequence[str], task: str = "emotion"
) -> ClassScheme:
    """Return one open-set split, called ``name``, with the seven basic classes known."""
    known = {name: _in_order(names, BASIC)}
    return ClassScheme(task=task, scheme=scheme, splits=list(splits), known=known)


def _in_order(names: Sequence[str], known: Iterable[str]) -> list[str]:
    chosen = set(known)
    return [name for name in names if name in chosen]
