"""Hostile text in every page and table, faces only where asked, and a purge that is one."""

import csv
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pages import Tags

from expressway.core.foreign_text import csv_cell
from expressway.reporting import build, clip_page, published_table
from expressway.reporting import results_table as plain

ROOT = Path(__file__).parents[2]
HOSTILE = "\"><script>window.pwned=1</script><img src=x onerror='window.pwned=1'>\u202e{{7*191}}"
FORMULAS = ("=cmd|'/c calc'!A1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1")


@pytest.fixture
def hostile(reported: Any) -> Any:
    """The world with free texts of an attacker's, and a model's answers about it."""
    reported.clips = [
        replace(clip, path=HOSTILE, captions=(HOSTILE,), subject=HOSTILE) for clip in reported.clips
    ]
    note = {"status": "degraded", "error_type": HOSTILE, "error_message": HOSTILE}
    reported.write_stores(frames={reported.clips[2].id: note})
    reported.write_evaluation(
        "m",
        "fold1",
        reported.clips,
        lambda _: HOSTILE,
        labels=["happiness", "sadness", "neutral", HOSTILE],
        model=HOSTILE,
        selection=HOSTILE,
    )
    return reported


def assert_inert(html: str, scripts: int) -> None:
    assert Tags(html).active == ["script"] * scripts
    assert "\u202e" not in html
    assert "1337" not in html
    assert "Content-Security-Policy" in html
    # readable all the same
    assert "&lt;script&gt;window.pwned=1" in html


def test_the_page_of_a_clip_shows_hostile_text_as_text(hostile: Any, tmp_path: Path) -> None:
    dataset = hostile.spec().datasets[0]
    out = clip_page.build(dataset, hostile.clips[2].id, hostile.evaluations, tmp_path / "c.html")
    assert_inert(out.read_text("utf-8"), scripts=0)


def test_the_report_shows_hostile_text_as_text(hostile: Any, tmp_path: Path) -> None:
    html = build(hostile.spec(title=HOSTILE), tmp_path / "report").read_text("utf-8")
    assert_inert(html, scripts=1)


def test_a_papers_table_with_hostile_names_is_inert(hostile: Any, tmp_path: Path) -> None:
    numbers = tmp_path / "published.csv"
    numbers.write_text(",".join(published_table.COLUMNS) + "\n")
    spec = published_table.TableSpec(
        name="t",
        title=HOSTILE,
        source=HOSTILE,
        metrics=("unweighted_average_recall",),
        rows=[("=1+1", {HOSTILE: hostile.evaluations})],
        published=numbers,
    )
    file, markdown, _, html = published_table.write(spec, hostile.spec(title=HOSTILE), tmp_path)
    assert_inert(html.read_text("utf-8"), scripts=1)
    assert "<script>" not in markdown.read_text("utf-8")
    with file.open(newline="") as handle:
        assert next(csv.DictReader(handle))["row"] == "'=1+1"


@pytest.mark.parametrize("cell", FORMULAS)
def test_cells_that_a_spreadsheet_would_run_are_text(cell: str) -> None:
    assert str(csv_cell(cell))[0] not in "=+-@\t\r"


def test_honest_cells_stay_as_they_are() -> None:
    assert [csv_cell(each) for each in ("DFEW", "a=b", -0.5, None)] == ["DFEW", "a=b", -0.5, None]


def test_faces_are_shown_only_when_asked(reported: Any, tmp_path: Path) -> None:
    plain = build(reported.spec(thumbnails=False), tmp_path / "a").read_text("utf-8")
    asked = build(reported.spec(thumbnails=True), tmp_path / "b").read_text("utf-8")
    assert "data:image/jpeg" not in plain
    assert "data:image/jpeg" in asked


def test_tables_and_reports_name_no_folder_of_this_machine(reported: Any, tmp_path: Path) -> None:
    reported.write_evaluation("m", "fold1", reported.clips, lambda _: "anger")
    files = plain.write("t", "T", reported.evaluations, tmp_path / "tables")
    files.append(build(reported.spec(), tmp_path / "report"))
    for file in files:
        assert str(tmp_path) not in file.read_text("utf-8"), file.name


KEPT = (
    *("data/people/manifest.csv", "videos/a.mp4", "config/datasets/people.yaml"),
    *("results/others/faces/x/00000.parquet", "results/models/m/all-seed0/model.json"),
)
DERIVED = (
    *("results/people/frames/native/00000.parquet", "results/people/inspect/a.html"),
    *("logs/people/frames/native/00000.log", "logs/benchmarks/people/x.tsv"),
    *("state/journal/people/captions/x/00000.sqlite", "state/hashes/people.json"),
    "results/report/index.html",
)


def purge(folder: Path, name: str) -> int:
    command = ["make", "purge", f"DATASET={name}"]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=60).returncode


def test_purge_removes_what_was_derived_and_nothing_else(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in (*KEPT, *DERIVED):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    for wrong in ("", "models", "..", "unknown"):
        assert purge(tmp_path, wrong) != 0
    assert all((tmp_path / name).exists() for name in DERIVED)
    assert purge(tmp_path, "people") == 0
    assert not any((tmp_path / name).exists() for name in DERIVED)
    assert all((tmp_path / name).exists() for name in KEPT)
