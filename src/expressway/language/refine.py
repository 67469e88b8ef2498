"""Take emotions out of captions: clauses that name one are dropped, movements stay.

A caption must not name the label that a model will learn from it. The lexicon is a data file;
whatever the text, no word of it is left in what comes out.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path

from expressway.core.errors import ConfigError
from expressway.core.fingerprints import digest

SUMMARIES = (
    "overall",
    "in summary",
    "to summarise",
    "to summarize",
    "in conclusion",
    "all in all",
    "in general",
    "taken together",
    "the combination of",
    "these movements",
    "this suggests",
    "this indicates",
    "the overall",
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")
_SEPARATOR = re.compile(r"(\s*[,()\u2013\u2014]+\s*(?:and\s+)?|\s+and\s+)", re.IGNORECASE)
_LIST_MARK = re.compile(r"^\s*(?:[-*\u2022#>]+|\d+[.)])\s+")
# Marks that are left over Latin letters after composition belong to no letter of any language.
_STRUCK = re.compile(r"(?<=[A-Za-z])[\u0300-\u036f]+")
_TRAILING = re.compile(r"[\s.!?;:,]+$")


class Lexicon:
    """Words that a refined caption must not hold; an entry with a star stands for any ending."""

    def __init__(self, entries: Iterable[str]) -> None:
        self.entries = tuple(dict.fromkeys(tidy(entry).casefold() for entry in entries))
        stems = [re.escape(entry[:-1]) + r"\w*" for entry in self.entries if entry.endswith("*")]
        words = [re.escape(entry) for entry in self.entries if not entry.endswith("*")]
        # An underscore or digit joins words for a reader as little as a space does.
        edge_before, edge_after = r"(?<![^\W\d_])", r"(?![^\W\d_])"
        pattern = edge_before + "(?:" + "|".join([*stems, *words]) + ")" + edge_after
        self._pattern = re.compile(pattern, re.IGNORECASE)

    @property
    def hash(self) -> str:
        """Identity of the list of words."""
        return digest(sorted(self.entries))

    def find(self, text: str) -> list[str]:
        """Return the words of the lexicon in a text, as they stand there."""
        return [match.group() for match in self._pattern.finditer(text)]

    def strike(self, text: str) -> str:
        """Return a text without the words of the lexicon."""
        while self._pattern.search(text):
            text = self._pattern.sub(" ", text)
        return tidy(text)


@lru_cache(maxsize=8)
def read_lexicon(path: str | None = None, extra: tuple[str, ...] = ()) -> Lexicon:
    """Return the lexicon of a file, the package's own by default, with ``extra`` entries.

    Raises:
        ConfigError: there is no such file, or it holds no word.
    """
    packaged = resources.files("expressway.language") / "lexicon" / "emotions.txt"
    try:
        text = Path(path).read_text("utf-8") if path else packaged.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a list of words: {error}") from error
    lines = [line.strip() for line in text.splitlines()]
    entries = [line for line in lines if line and not line.startswith("#")]
    if not entries:
        raise ConfigError(f"{path}: no words; expected one per line, such as: happi*")
    return Lexicon([*entries, *extra])


def tidy(text: str) -> str:
    """Return a text in one Unicode form, without invisible characters, spaces made single."""
    normal = _STRUCK.sub("", unicodedata.normalize("NFKC", text))
    seen = "".join(c for c in normal if unicodedata.category(c) not in ("Cf", "Cn", "Co"))
    plain = "".join(" " if unicodedata.category(c) in ("Cc", "Zs") else c for c in seen)
    return re.sub(r"\s+", " ", plain).strip()


def refine(text: str, lexicon: Lexicon) -> str:
    """Return a caption without clauses that name an emotion, and without summaries.

    Where nothing would be left, the original comes back without the lexicon's words; a text that
    holds nothing else becomes empty.
    """
    lines = [_LIST_MARK.sub("", line).replace("**", "") for line in text.splitlines()]
    clean = "\n".join(tidy(line) for line in lines)
    sentences = [kept for part in _SENTENCE.split(clean) if (kept := _sentence(part, lexicon))]
    joined = " ".join(sentences)
    if not joined:
        return _finished(lexicon.strike(tidy(text)))
    # Words can come together where clauses were taken out between them.
    return joined if not lexicon.find(joined) else _finished(lexicon.strike(joined))


def _sentence(sentence: str, lexicon: Lexicon) -> str:
    """Return what is left of one sentence."""
    if sentence.strip().casefold().startswith(SUMMARIES):
        return ""
    parts = _SEPARATOR.split(sentence)
    clauses, separators = parts[::2], ["", *parts[1::2]]
    kept = [
        (separator, clause)
        for separator, clause in zip(separators, clauses, strict=True)
        if _has_words(clause) and not _names(clause, lexicon)
    ]
    return _finished(_joined(kept))


def _names(clause: str, lexicon: Lexicon) -> bool:
    return bool(lexicon.find(clause)) or clause.strip().casefold().startswith(SUMMARIES)


def _joined(kept: Sequence[tuple[str, str]]) -> str:
    if not kept:
        return ""
    text = kept[0][1]
    for separator, clause in kept[1:]:
        text += _without_brackets(separator) + clause
    return text


def _without_brackets(separator: str) -> str:
    """Return a separator without brackets, which may have lost their partners."""
    if not re.search(r"[()]", separator):
        return separator
    rest = separator.replace("(", "").replace(")", "").strip(" ,")
    return f" {rest} " if rest else ", "


def _has_words(text: str) -> bool:
    return any(character.isalpha() for character in text)


def _finished(text: str) -> str:
    """Return a sentence with a capital and a full stop, or nothing when it has no words."""
    body = _TRAILING.sub("", text).strip(" ,;:-\u2013\u2014")
    return f"{body[0].upper()}{body[1:]}." if _has_words(body) else ""
