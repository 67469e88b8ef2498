"""Text from outside is inert in HTML, spreadsheets, Markdown and LaTeX, and stays readable."""

import csv
import io

import pytest

from expressway.core import foreign_text as text
from expressway.reporting.cells import Table, to_csv


def test_direction_marks_are_spelled_out() -> None:
    assert text.visible("photo\u202egnp.exe") == "photo⟨U+202E⟩gnp.exe"


def test_controls_are_spelled_out_but_newlines_stay() -> None:
    assert text.visible("a\x00b\nc\x1b[31m") == "a⟨U+0000⟩b\nc⟨U+001B⟩[31m"


def test_long_text_is_cut_and_says_how_long_it_was() -> None:
    shown = text.visible("x" * 100_000)
    assert len(shown) < 400
    assert shown.endswith("… (100,000 characters)")


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_formulas_are_neutralised_in_csv(cell: str) -> None:
    written = to_csv(Table("", ("name",), ([cell],)))
    [_, [read]] = list(csv.reader(io.StringIO(written)))
    assert read.startswith("'")


def test_numbers_stay_numbers_in_csv() -> None:
    assert to_csv(Table("", ("a", "b"), ([-0.25, None],))) == "a,b\n-0.25,\n"


def test_markdown_cells_cannot_open_columns_or_tags() -> None:
    assert text.markdown_cell("a|b\n<b>*x*") == "a\\|b &lt;b&gt;\\*x\\*"


def test_latex_specials_are_escaped() -> None:
    assert text.latex_cell("50 % of a_b\\x") == r"50 \% of a\_b\textbackslash{}x"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_durations_read_like_speech(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "said"), [(812_000, "812 kB"), (40_300_000, "40.3 MB"), (1_240_000_000, "1.2 GB")]
)
def test_sizes(value: int, said: str) -> None:
    assert text.size(value) == said
