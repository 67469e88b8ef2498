"""A paper's table: our results beside the printed numbers, and what the paper did to get them."""

import csv
from pathlib import Path
from typing import Any

import pytest

from expressway.core.errors import ConfigError
from expressway.reporting import cells, published_table

HEADER = ",".join(published_table.COLUMNS) + "\n"
LINES = (
    "mine,CLIP,World,unweighted_average_recall,0.2,Table 1,video,nothing,none,5,\n"
    "mine,C3D,World,unweighted_average_recall,0.453,Table 1,video,World,test,5,selects on test\n"
    "other,CLIP,World,unweighted_average_recall,0.9,Table 2,video,,,,\n"
)


def spec(evaluated: Any, tmp_path: Path, **changes: Any) -> published_table.TableSpec:
    path = tmp_path / "published.csv"
    path.write_text(HEADER + LINES)
    clip = [folder for folder in evaluated.evaluations if "/clip/" in str(folder)]
    values = {
        "name": "mine",
        "title": "Zero-shot",
        "source": "somebody, 2024",
        "metrics": ("unweighted_average_recall", "recall_of_neutral"),
        "rows": [("CLIP", {"World": clip})],
        "published": path,
    }
    return published_table.TableSpec(**{**values, **changes})


def written(evaluated: Any, tmp_path: Path) -> list[Path]:
    return published_table.write(spec(evaluated, tmp_path), evaluated.spec(), tmp_path / "tables")


def test_ours_the_papers_and_the_difference_stand_in_one_row(evaluated, tmp_path) -> None:
    file, markdown, *_ = published_table.write(
        spec(evaluated, tmp_path), evaluated.spec(), tmp_path / "tables"
    )
    with file.open(newline="") as handle:
        rows = {row["row"]: row for row in csv.DictReader(handle)}
    ours = rows["CLIP"]
    assert float(ours["unweighted_average_recall_ours"]) == pytest.approx(0.25)
    assert float(ours["unweighted_average_recall_paper"]) == pytest.approx(0.2)
    assert float(ours["unweighted_average_recall_difference"]) == pytest.approx(0.05)
    # this model always says neutral
    assert float(ours["recall_of_neutral_ours"]) == 1.0
    assert ours["recall_of_neutral_paper"] == ""
    text = markdown.read_text()
    assert "+5.0" in text
    assert "somebody, 2024" in text


def test_the_page_shows_the_table_first_then_the_evidence(evaluated, tmp_path) -> None:
    written(evaluated, tmp_path)
    page = (tmp_path / "tables/mine.html").read_text("utf-8")
    assert page.index('id="table"') < page.index('id="results"') < page.index('id="confusions"')
    assert "somebody, 2024" in page


def test_the_page_sorts_by_numbers_and_names_the_papers_conditions(evaluated, tmp_path) -> None:
    written(evaluated, tmp_path)
    page = (tmp_path / "tables/mine.html").read_text("utf-8")
    table = page[page.index('id="table"') : page.index('id="results"')]
    # ours 25.0, the paper's 20.0; C3D has only the paper's
    for value in ("0.25", "0.2", "0.04999", "0.453"):
        assert f'data-sort="{value}' in table, value
    assert "+5.0" in table
    assert "trained on: <bdi>World</bdi>; selection: <bdi>test</bdi>" in table
    assert "selects on test" in table


def test_a_difference_has_its_sign() -> None:
    shown = [cells.signed("oscr", value) for value in (0.051, -0.051, None)]
    assert shown == ["+5.1", "\N{MINUS SIGN}5.1", "\N{EN DASH}"]


def test_many_metrics_have_the_papers_number_below_ours(evaluated, tmp_path) -> None:
    recalls = [f"recall_of_{label}" for label in ("happiness", "sadness", "neutral")]
    made = spec(evaluated, tmp_path, metrics=["unweighted_average_recall", *recalls])
    published_table.write(made, evaluated.spec(), tmp_path)
    page = (tmp_path / "mine.html").read_text("utf-8")
    assert 'paper 20.0 <span class="whole">(+5.0)</span>' in page


def test_rows_that_only_the_paper_has_are_shown_with_their_conditions(evaluated, tmp_path) -> None:
    file, markdown, *_ = published_table.write(
        spec(evaluated, tmp_path), evaluated.spec(), tmp_path / "tables"
    )
    with file.open(newline="") as handle:
        rows = {row["row"]: row for row in csv.DictReader(handle)}
    assert rows["C3D"]["model"] == ""
    assert float(rows["C3D"]["unweighted_average_recall_paper"]) == 0.453
    assert rows["C3D"]["paper_note"] == "selects on test"
    assert "World; test; 5; selects on test" in markdown.read_text()
    # numbers of another table stay out
    assert len(rows) == 2


def test_a_line_that_is_no_number_is_named(evaluated, tmp_path) -> None:
    made = spec(evaluated, tmp_path)
    made.published.write_text(HEADER + LINES + "mine,CLIP,World,accuracy,n/a,,,,,,\n")
    with pytest.raises(ConfigError, match=r"published\.csv, line 5: value 'n/a' is no number"):
        published_table.write(made, evaluated.spec(), tmp_path)
    made.published.write_text("row,value\n")
    with pytest.raises(ConfigError, match="line 1: expected columns table, row"):
        published_table.write(made, evaluated.spec(), tmp_path)
