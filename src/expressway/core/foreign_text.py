"""Text from outside (ids, labels, captions, errors) made harmless and readable."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

# Bidirectional controls can make a line read differently from what it says (Trojan Source).
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
NOTHING = "\u2013"
MINUS = "\u2212"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    NOTHING: "--",
    MINUS: "$-$",
}


def visible(value: object, limit: int = 300) -> str:
    """The value as text: controls and direction marks spelled out, cut after `limit` characters."""
    text = str(value)
    cut = text[:limit]
    shown = "".join(_shown(character) for character in cut)
    return shown if len(text) <= limit else f"{shown}… ({len(text):,} characters)"


def _shown(character: str) -> str:
    if character in "\n\t":
        return character
    if character in _BIDI or unicodedata.category(character) in {"Cc", "Cs"}:
        return f"⟨U+{ord(character):04X}⟩"
    return character


def csv_cell(value: object) -> object:
    """The cell for a CSV file; text that a spreadsheet would run as a formula gets a quote."""
    if value is None or isinstance(value, (int, float)):
        return value
    text = visible(value, 2000)
    return f"'{text}" if text.startswith(_FORMULA) else text


def markdown_cell(value: object) -> str:
    """The cell for a Markdown table: one line, no markup, no new columns."""
    text = re.sub(r"\s+", " ", visible(value))
    for character in "\\`*_[]|":
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def latex_cell(value: object) -> str:
    """The cell for a LaTeX table, with every special character escaped."""
    text = re.sub(r"\s+", " ", visible(value))
    return "".join(_LATEX.get(character, character) for character in text)


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage without its sign, a dash when it is undefined."""
    return NOTHING if value is None else f"{100 * value:.{digits}f}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 8.4 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def size(value: int) -> str:
    """Bytes as a person says them: 812 kB, 40.3 MB, 1.2 GB."""
    if value < 1e6:
        return f"{value / 1e3:.0f} kB"
    return f"{value / 1e6:.1f} MB" if value < 1e9 else f"{value / 1e9:.1f} GB"


def count(value: int | None) -> str:
    """A whole number with thin-space thousands, a dash when unknown."""
    return NOTHING if value is None else f"{value:,}".replace(",", "\u202f")


def short(value: Any) -> str:
    """A value that fits into a table cell: long lists and mappings become their sizes."""
    if isinstance(value, str) and len(value) == 64 and all(c in "0123456789abcdef" for c in value):
        return value[:16]
    if isinstance(value, (list, tuple)) and len(value) > 8:
        return f"{len(value)} values"
    if isinstance(value, Mapping):
        return visible(", ".join(f"{key}: {short(part)}" for key, part in value.items()), 400)
    return visible(value, 120)
