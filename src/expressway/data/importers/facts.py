"""Published sizes of the data sets, which an imported copy is compared with.

Each number was counted in published lists or stands in the paper that ``source`` names; parts of
which no number is known are left out and never checked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from expressway.data.importers.labels import MAFW_MULTIPLE
from expressway.language.emotions import BASIC, EIGHT, MAFW_ORDER


@dataclass(frozen=True)
class Part:
    """Size of one part of one split; ``classes`` is empty where only the total is known."""

    scheme: str
    split: str
    part: str
    clips: int
    classes: Mapping[str, int] = field(default_factory=dict)
    task: str = "emotion"


@dataclass(frozen=True)
class Published:
    """What is known of a data set; ``classes`` and ``labelled`` count per label column."""

    title: str
    source: str
    parts: Sequence[Part]
    classes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    labelled: Mapping[str, int] = field(default_factory=dict)

    @property
    def emotions(self) -> frozenset[str]:
        """The single classes of which a number is known: all, where any is."""
        counts = [part.classes for part in self.parts if part.task == "emotion"]
        return frozenset().union(*counts, self.classes.get("emotion", {}))


def _named(names: Sequence[str], *counts: int) -> dict[str, int]:
    return dict(zip(names, counts, strict=True))


def _part(
    scheme: str, split: str, part: str, names: Sequence[str], *counts: int, task: str = "emotion"
) -> Part:
    return Part(scheme, split, part, sum(counts), _named(names, *counts), task)


def _folds(scheme: str, total: int, tests: Sequence[int], first: Mapping[str, int]) -> list[Part]:
    """Return train and test of five folds that cover ``total`` clips; ``first``: test of fold1."""
    found = []
    for number, test in enumerate(tests, start=1):
        fold = f"fold{number}"
        found.append(Part(scheme, fold, "train", total - test))
        found.append(Part(scheme, fold, "test", test, first if number == 1 else {}))
    return found


DFEW = Published(
    "DFEW",
    "the official lists of the single-labelled clips, as counted in DFER-CLIP's copy",
    _folds(
        "folds",
        11697,
        (2341, 2341, 2340, 2339, 2336),
        _named(BASIC, 489, 379, 534, 435, 294, 29, 181),
    ),
    {"emotion": _named(BASIC, 2445, 1894, 2669, 2173, 1469, 145, 902)},
    {"emotion": 11697},
)

FERV39K = Published(
    "FERV39k",
    "the FERV39k paper, and DFER-CLIP's copy of the official lists",
    (
        _part("official", "official", "train", BASIC, 5854, 5523, 7790, 5906, 2502, 1833, 1680),
        _part("official", "official", "test", BASIC, 1473, 1393, 1958, 1487, 638, 467, 431),
    ),
)

_MAFW_SINGLE = _named(MAFW_ORDER, 1390, 639, 625, 1242, 1138, 1470, 1072, 236, 916, 262, 182)
# The paper's bar chart prints two bars as "HL,DI" (98) and "DI,HL" (39); the first one is
# helplessness with disappointment, since the list of the 32 names has that class.
_MAFW_MULTIPLE = _named(
    MAFW_MULTIPLE,
    *(883, 542, 392, 232, 218, 208, 206, 185, 156, 131, 98, 96, 90, 76, 59, 54),
    *(52, 45, 39, 37, 36, 33, 32, 26, 22, 19, 19, 18, 17, 13, 12, 12),
)
HESP_PARTS = (
    _part(
        "hesp", "hesp", "train", MAFW_ORDER, 357, 261, 156, 871, 910, 499, 411, 101, 348, 124, 50
    ),
    _part("hesp", "hesp", "test", MAFW_ORDER, 89, 65, 39, 218, 228, 125, 102, 25, 87, 31, 13),
)
MAFW = Published(
    "MAFW",
    "the MAFW paper, and DFER-CLIP's copy of the official lists",
    (
        *_folds(
            "single",
            9172,
            (1839, 1837, 1833, 1832, 1831),
            _named(MAFW_ORDER, 278, 128, 125, 249, 228, 294, 215, 48, 184, 53, 37),
        ),
        *HESP_PARTS,
    ),
    {"emotion": _MAFW_SINGLE, "compound": _MAFW_MULTIPLE},
    {"emotion": 9172, "compound": 8996},
)

# The official validation part is said to have 383 clips; two of them show no usable face.
AFEW = Published(
    "AFEW",
    "Exp-CLIP's list of the validation part",
    (_part("official", "official", "validation", BASIC, 62, 61, 64, 63, 45, 40, 46),),
)

CAERS = Published(
    "CAER-S",
    "sizes of the parts as stated by Exp-CLIP and EfficientFace",
    (
        Part("official", "official", "train", 48995),
        Part("official", "official", "test", 20987),
    ),
)

RAFDB = Published(
    "RAF-DB (basic)",
    "the official list, as counted in Exp-CLIP's results",
    (_part("official", "official", "test", BASIC, 1185, 478, 680, 162, 329, 160, 74),),
)

AFFECTNET = Published(
    "AffectNet",
    "the AffectNet paper: 500 validation images per class",
    (_part("official", "official", "validation", EIGHT, *[500] * 8),),
)

FERPLUS = Published(
    "FERPlus",
    "computed from fer2013new.csv with the majority rule of the importer",
    (
        Part("official", "official", "train", 25060),
        Part("official", "official", "validation", 3199),
        _part("official", "official", "test", EIGHT, 893, 384, 1090, 273, 396, 18, 83, 16),
    ),
)

BY_NAME = {"dfew": DFEW, "ferv39k": FERV39K, "mafw": MAFW, "afew": AFEW}
