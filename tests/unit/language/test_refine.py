from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expressway.core.errors import ConfigError
from expressway.language.captioners import wording
from expressway.language.refine import Lexicon, read_lexicon, refine

LEXICON = read_lexicon()
LABELS = [
    *("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear", "contempt"),
    *("anxiety", "helplessness", "disappointment"),
]


@pytest.mark.parametrize(
    ("raw", "refined"),
    [
        # the patterns of FineCLIPER's five examples (its spec, section 4.4)
        (
            "The man displays a surprised expression, his mouth opens and his eyes widen.",
            "His mouth opens and his eyes widen.",
        ),
        (
            "Her eyes narrow, indicating a sense of joy or amusement, and a slight smile. "
            "Overall, the person seems relaxed.",
            "Her eyes narrow.",
        ),
        (
            "The lips close, suggesting a momentary pause in speech or thought.",
            "The lips close, suggesting a momentary pause in speech or thought.",
        ),
        (
            "The eyebrows are raised. The combination of these movements is striking.",
            "The eyebrows are raised.",
        ),
        ("He has a friendly and approachable demeanor.",) * 2,
        # what models write around their sentences
        ("1. **Eyes**: they widen\n2. **Mouth**: a sad droop", "Eyes: they widen."),
        ("the jaw drops (a sign of shock) and stays open", "The jaw drops and stays open."),
        # nothing else is left: the words go, the rest stays
        ("He looks happy", "He looks."),
        ("Happy.", ""),
        ("", ""),
    ],
)
def test_clauses_that_name_an_emotion_go(raw: str, refined: str) -> None:
    assert refine(raw, LEXICON) == refined


@pytest.mark.parametrize("label", LABELS)
def test_every_label_of_the_data_sets_is_in_the_lexicon(label: str) -> None:
    assert LEXICON.find(f"A face of {label}.") == [label]


@pytest.mark.parametrize(
    "hidden",
    ["HAPPY", "hap\u00adpy", "hap\u200bpy", "\uff48appy", "happy_face", "9happy", "ha\u0336ppy"],
)
def test_disguised_words_are_found_too(hidden: str) -> None:
    assert "happy" not in refine(f"The lips part, {hidden}.", LEXICON).casefold()


PIECES = st.sampled_from(
    [
        *("happy", "Sadness", "smil", "smiles", "ANGRY", "fear", "of", "in", "surpris", "ed"),
        *("the lips part", "and", "overall", ",", ".", "\n", "(", ")", "-", ":", " ", "\u00ad"),
        *("the combination of", "unhappy", "con", "tent", "\u2014", "1.", "**", "joy's", "s"),
    ]
)


@given(st.lists(PIECES, max_size=25), st.sampled_from(["", " "]))
def test_no_lexicon_word_survives(pieces: list[str], joint: str) -> None:
    assert LEXICON.find(refine(joint.join(pieces), LEXICON)) == []


@given(st.text(max_size=80))
def test_any_text_can_be_refined(text: str) -> None:
    assert LEXICON.find(refine(text, LEXICON)) == []


def test_our_own_wording_needs_no_refining_but_for_the_smile() -> None:
    clauses = [text for bank in wording.CLAUSES.values() for text in bank] + list(wording.STILL)
    assert [text for text in clauses if LEXICON.find(text)] == []


def test_own_words_can_be_added_or_take_the_place_of_ours(tmp_path: Path) -> None:
    more = read_lexicon(None, ("bewitch*",))
    assert refine("He seems bewitched, the lips part.", more) == "The lips part."
    assert more.hash != LEXICON.hash
    (tmp_path / "words.txt").write_text("# ours\ngrumpy\n")
    own = read_lexicon(str(tmp_path / "words.txt"))
    assert refine("A grumpy man, a happy man.", own) == "A happy man."


def test_order_of_a_lexicon_does_not_change_what_it_is() -> None:
    assert Lexicon(["a", "b"]).hash == Lexicon(["b", "a"]).hash


def test_a_lexicon_without_words_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("# nothing\n")
    with pytest.raises(ConfigError, match="no words"):
        read_lexicon(str(tmp_path / "words.txt"))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_lexicon(str(tmp_path / "missing.txt"))
