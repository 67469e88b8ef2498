"""Is an answer a caption? Refusals, echoes, runaway and foreign texts are flagged, never used.

Flags that make a row useless: ``empty``, ``refusal``, ``prompt_echo``, ``runaway``,
``repetition``, ``not_text``, ``script``, ``language``. The raw answer is kept with them.
"""

import re
import unicodedata
import zlib
from collections.abc import Collection, Sequence
from typing import Literal

from pydantic import Field

from expressway.core.config import StrictModel

FATAL = frozenset(
    {
        "empty",
        "refusal",
        "prompt_echo",
        "runaway",
        "repetition",
        "not_text",
        "script",
        "language",
    }
)
REFUSALS = re.compile(
    r"\b(?:as an? (?:ai|artificial|language|large)"
    r"|(?:i|we)(?:['\u2019]m| am|['\u2019]re| are)? (?:sorry|unable|not able|not allowed)"
    r"|(?:i|we) (?:can(?:['\u2019]t|not| not)|won['\u2019]t|will not|must decline"
    r"|(?:do not|don['\u2019]t) have (?:the )?(?:ability|access|enough))"
    r"|my (?:guidelines|policies|programming)"
    r"|(?:cannot|can['\u2019]t|unable to) (?:assist|help|comply|fulfil|identify (?:people|real)))",
    re.IGNORECASE,
)
# The commonest words of English; a caption without any of them is hardly English.
ENGLISH = frozenset(
    {
        *("the", "a", "an", "and", "of", "to", "in", "is", "are", "on", "with", "at", "from", "as"),
        *("then", "by", "that", "this", "it", "he", "she", "they", "his", "her", "their", "or"),
        *("but", "for", "up", "down", "not", "no", "while", "into", "there", "be", "was", "were"),
        *("has", "have"),
    }
)
ECHO_WORDS = 12
ECHO_SHARE = 0.6
REPETITION_RATIO = 5.0
REPETITION_CHARACTERS = 200
LANGUAGE_WORDS = 8
LANGUAGE_SHARE = 0.06


class ValidityOptions(StrictModel):
    """What counts as a caption."""

    language: Literal["english", "any"] = Field(
        default="english",
        description="english: other scripts and languages are invalid; any: they are not",
    )
    maximum_words: int = Field(
        default=400,
        ge=1,
        description="longer answers are runaway (an answer cut off is only flagged)",
    )


def check(text: str, prompt: str, options: ValidityOptions) -> tuple[str, ...]:
    """Return the flags of an answer to a prompt; ``prompt`` is empty where nobody asked."""
    words = _words(text)
    if not text.strip():
        return ("empty",)
    tests = {
        "refusal": bool(REFUSALS.search(text)),
        "prompt_echo": _echoes(words, _words(prompt)),
        "runaway": len(words) > options.maximum_words or len(text) > 12 * options.maximum_words,
        "repetition": _repeats(text),
        "not_text": _is_noise(text),
        "script": options.language == "english" and _latin_share(text) < 0.8,
        "language": options.language == "english" and _is_foreign(words),
    }
    return tuple(name for name, hit in tests.items() if hit)


def status(flags: Collection[str]) -> Literal["ok", "refused", "invalid"]:
    """Return the status of a row with these flags."""
    if "refusal" in flags:
        return "refused"
    return "invalid" if FATAL & set(flags) else "ok"


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?", text.casefold())


def _echoes(words: Sequence[str], prompt: Sequence[str]) -> bool:
    """Return whether an answer repeats a long stretch of the prompt, or is mostly made of it."""
    if len(prompt) < 4 or not words:
        return False
    size = min(ECHO_WORDS, len(prompt))
    if _runs(words, size) & _runs(prompt, size):
        return True
    asked, said = _runs(prompt, 3), _runs(words, 3)
    return bool(said) and len(asked & said) >= ECHO_SHARE * len(said)


def _runs(words: Sequence[str], size: int) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}


def _repeats(text: str) -> bool:
    """Return whether a text says the same over and over: it compresses far too well."""
    data = text.encode()
    if len(data) < REPETITION_CHARACTERS:
        return False
    return len(data) / len(zlib.compress(data, 9)) > REPETITION_RATIO


def _is_noise(text: str) -> bool:
    seen = [c for c in text if not c.isspace()]
    letters = sum(c.isalpha() for c in seen)
    broken = sum(unicodedata.category(c) in ("Cc", "Co", "Cn") or c == "\ufffd" for c in seen)
    return letters < 0.5 * len(seen) or broken > 0.02 * len(seen)


def _latin_share(text: str) -> float:
    letters = [c for c in text if c.isalpha()]
    latin = sum(unicodedata.name(c, "").startswith("LATIN") for c in letters)
    return latin / len(letters) if letters else 1.0


def _is_foreign(words: Sequence[str]) -> bool:
    if len(words) < LANGUAGE_WORDS:
        return False
    return sum(word in ENGLISH for word in words) < LANGUAGE_SHARE * len(words)
