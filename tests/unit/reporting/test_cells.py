"""Tables on disk: one number per CSV cell, readable elsewhere, safe everywhere."""

import csv
from pathlib import Path
from typing import Any

import pytest

from expressway.reporting import results_table


def test_four_formats_are_written(evaluated: Any, tmp_path: Path) -> None:
    paths = results_table.write("main", "Demo", evaluated.evaluations, tmp_path / "tables")
    assert [path.name for path in paths] == ["main.csv", "main.md", "main.tex", "main.html"]
    assert all(path.stat().st_size > 100 for path in paths)


def test_csv_holds_plain_numbers(evaluated: Any, tmp_path: Path) -> None:
    [path, *_] = results_table.write("main", "Demo", evaluated.evaluations, tmp_path)
    with path.open(newline="") as handle:
        rows = {row["model"]: row for row in csv.DictReader(handle)}
    assert float(rows["clip"]["unweighted_average_recall_mean"]) == pytest.approx(0.25)
    assert rows["emoclip"]["splits"] == "2"
    assert rows["emoclip"]["missing"] == "1"
    low = float(rows["emoclip"]["weighted_average_recall_subjects_low"])
    high = float(rows["emoclip"]["weighted_average_recall_subjects_high"])
    assert 0 <= low < high <= 1


def test_readable_formats_hold_percentages(evaluated: Any, tmp_path: Path) -> None:
    _, markdown, latex, html = results_table.write("main", "Demo", evaluated.evaluations, tmp_path)
    assert "25.0 ± 0.0; pooled 25.0 \\[5.0, 95.0\\]" in markdown.read_text()
    assert "25.0 ± 0.0; pooled 25.0 [5.0, 95.0]" in html.read_text()
    assert r"25.0 $\pm$ 0.0; pooled 25.0 [5.0, 95.0]" in latex.read_text()


def test_the_html_is_a_page_of_its_own(evaluated: Any, tmp_path: Path) -> None:
    page = results_table.write("main", "Demo", evaluated.evaluations, tmp_path)[3].read_text(
        "utf-8"
    )
    assert page.startswith("<!doctype html>")
    assert '<meta charset="utf-8">' in page
    assert "default-src &#39;none&#39;" in page
    assert page.count("<table>") == page.count("<caption>") == 1


def test_hostile_names_are_inert_in_every_format(world: Any, tmp_path: Path) -> None:
    hostile = "=<script>|x_%"
    world.write_evaluation("m", "fold1", world.clips, lambda _: "anger", model=hostile)
    csv_file, markdown, latex, html = results_table.write("t", hostile, world.evaluations, tmp_path)
    with csv_file.open(newline="") as handle:
        assert next(csv.DictReader(handle))["model"] == "'=<script>|x_%"
    assert "<script>" not in markdown.read_text() + html.read_text()
    assert r"=\textless{}script\textgreater{}|x\_\%" in latex.read_text()
