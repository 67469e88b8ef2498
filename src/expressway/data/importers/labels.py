"""The words that data sets use for classes, and the classes that MAFW joins."""

import re

from expressway.core.config import nearest
from expressway.core.errors import ManifestError
from expressway.language.emotions import ELEVEN, MAFW_ORDER

# MAFW's multiple-label classes, the most frequent first.
MAFW_MULTIPLE = (
    "anger_disgust",
    "sadness_helplessness",
    "fear_surprise",
    "surprise_anxiety",
    "fear_anxiety",
    "disgust_contempt",
    "happiness_surprise",
    "sadness_anxiety",
    "anxiety_helplessness",
    "disgust_anxiety",
    "helplessness_disappointment",
    "fear_sadness",
    "anger_sadness",
    "sadness_anxiety_helplessness",
    "anxiety_helplessness_disappointment",
    "anger_anxiety",
    "happiness_contempt",
    "fear_surprise_anxiety",
    "disgust_helplessness",
    "disgust_surprise",
    "anger_disgust_anxiety",
    "anger_surprise",
    "sadness_disappointment",
    "sadness_surprise",
    "sadness_helplessness_disappointment",
    "disgust_anxiety_helplessness",
    "fear_sadness_anxiety",
    "anger_disgust_contempt",
    "disgust_sadness",
    "anger_helplessness",
    "disgust_helplessness_disappointment",
    "disgust_disappointment",
)

SYNONYMS = {
    "happy": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "angry": "anger",
    "surprised": "surprise",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "contemptuous": "contempt",
    "anxious": "anxiety",
    "helpless": "helplessness",
    "disappointed": "disappointment",
}


def emotion(text: str) -> str:
    """Return the class name for a word such as ``Angry``, ``Happy`` or ``neutral``.

    Raises:
        ManifestError: no such class; the message names the nearest one. A bare number is refused,
            since data sets number their classes in different ways.
    """
    word = text.strip().lower()
    name = SYNONYMS.get(word, word)
    if name in ELEVEN:
        return name
    if word.isdigit():
        raise ManifestError(
            f"class {text!r} is a number, and data sets number their classes differently; "
            f"expected a name: {', '.join(ELEVEN)}"
        )
    raise ManifestError(
        f"unknown class {text!r}{nearest(word, [*ELEVEN, *SYNONYMS])}; "
        f"expected one of {', '.join(ELEVEN)}"
    )


def folder_emotion(folder: str) -> str:
    """Return the class of a folder such as ``Happy`` or ``3_Anger`` (a number only sorts it)."""
    return emotion(re.sub(r"^\d+[ ._-]+", "", folder))


def compound(text: str) -> str:
    """Return a name of MAFW's compound set: one class, or several joined by ``_`` in its order.

    Raises:
        ManifestError: a component is unknown.
    """
    return "_".join(sorted(map(emotion, text.split("_")), key=MAFW_ORDER.index))


def numbered(text: str, names: tuple[str, ...], first: int = 0) -> str:
    """Return the name with the number ``text`` where the names count from ``first``.

    Raises:
        ManifestError: not a number, or out of range.
    """
    last = first + len(names) - 1
    if not text.strip().isdigit() or not first <= int(text) <= last:
        raise ManifestError(f"label {text!r}; expected a number from {first} to {last}")
    return names[int(text) - first]
