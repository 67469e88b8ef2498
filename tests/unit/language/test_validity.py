import pytest

from expressway.language.captioners.base import question
from expressway.language.validity import ValidityOptions, check, status

PROMPT = question("finecliper").text
GOOD = (
    "The person's eyebrows are raised and drawn together, the eyes are wide and the mouth opens "
    "slightly. Towards the end the gaze shifts to the left and the jaw relaxes."
)


@pytest.mark.parametrize(
    ("answer", "flag"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("I'm sorry, but I can't assist with that.", "refusal"),
        ("I cannot identify people in images.", "refusal"),
        ("As an AI language model I do not see pictures.", "refusal"),
        ("I\u2019m unable to describe this video.", "refusal"),
        (PROMPT, "prompt_echo"),
        (PROMPT[:140], "prompt_echo"),
        (f"Sure! {PROMPT} The brows go up.", "prompt_echo"),
        ("The brows go up and down again in many ways. " * 60, "runaway"),
        ("x" * 6000, "runaway"),
        ("the lips part " * 40, "repetition"),
        ("{}[]();;; 0101 ===", "not_text"),
        ("the brows \ufffd\ufffd\ufffd go up", "not_text"),
        ("眉毛上扬、嘴唇张开", "script"),
        ("Брови поднимаются, рот открыт", "script"),
        ("Die Augenbrauen gehen hoch, der Mund öffnet sich langsam wieder", "language"),
    ],
)
def test_answers_that_are_no_captions(answer: str, flag: str) -> None:
    assert flag in check(answer, PROMPT, ValidityOptions())


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        "The brows go up.",
        "Eyebrows raised; lips parted; jaw dropped.",
        "The person cannot keep the eyes open and will not look up.",
        "The mouth and chin, the eyes and the gaze direction: all are still.",
    ],
)
def test_captions_pass(answer: str) -> None:
    assert check(answer, PROMPT, ValidityOptions()) == ()


def test_other_languages_pass_where_any_is_allowed() -> None:
    options = ValidityOptions(language="any")
    assert check("眉毛上扬、嘴唇张开", PROMPT, options) == ()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), "ok"),
        (("cut_off",), "ok"),
        (("refusal", "cut_off"), "refused"),
        (("repetition",), "invalid"),
    ],
)
def test_status_of_flags(flags: tuple[str, ...], expected: str) -> None:
    assert status(flags) == expected
