"""Results of every protocol: summed up, drawn, compared, and inert on the page."""

import csv
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import protocol_world
import pytest
from report_world import LABELS

from expressway.core.errors import StoreError
from expressway.models.evaluation.metrics import open_set
from expressway.models.evaluation.protocols import open_set as open_set_tables
from expressway.reporting import build, cells, results_table
from expressway.reporting.results import read_comparisons, summarise
from expressway.reporting.sections.comparisons import comparisons
from expressway.reporting.sections.groups import FALSE_RATES, _accepted, groups

KINDS = ["open_set", "leave_one_out", "regression"]


@pytest.fixture
def protocols(world: Any) -> Any:
    protocol_world.write_protocols(world)
    return world


def rows_of(world: Any, kind: str) -> list[Any]:
    return [row for row in summarise(world.evaluations) if row.kind == kind]


def test_results_are_grouped_by_how_they_are_measured(protocols: Any) -> None:
    found = groups(summarise(protocols.evaluations))
    assert [group.kind for group in found] == KINDS
    assert [len(group.rows) for group in found] == [2, 2, 2]
    opened, left_out, numbers = found
    assert opened.metrics == ("auroc", "oscr", "accuracy", "accuracy_with_rejection")
    upstream = ("auroc_upstream", "oscr_upstream")
    assert opened.second.metrics == ("tnr_at_tpr95", "dtacc", "auin", "auout", *upstream)
    assert left_out.metrics == ("held_out_recall", "seen_unweighted_average_recall")
    assert [len(group.plots) for group in found] == [2, 1, 1]
    assert [len(drawing.figures) for drawing in opened.drawings] == [3, 3]
    assert [len(drawing.figures) for drawing in numbers.drawings] == [2, 2]
    assert left_out.drawings == ()


def test_open_sets_are_averaged_over_their_splits(protocols: Any) -> None:
    hesp = rows_of(protocols, "open_set")[0]
    each = []
    for member in hesp.members:
        one = open_set_tables.read(member.folder / "predictions.parquet")
        seen = one.only(one.predicted)
        each.append(open_set.auroc(open_set.curve(seen.score[seen.known], seen.score[~seen.known])))
    measure = hesp.measures["auroc"]
    assert measure.runs == pytest.approx(each)
    assert measure.pooled == pytest.approx(np.mean(each))
    assert measure.averaged
    for interval in (measure.interval_clips, measure.interval_subjects):
        assert interval[0] < measure.pooled < interval[1]
    assert hesp.labels == tuple(LABELS)
    assert hesp.openness == pytest.approx((open_set.openness(2, 4),) * 2)


def test_a_single_split_keeps_its_own_intervals(world: Any) -> None:
    world.evaluations[:] = protocol_world.write_open_set(world, "hesp", 1.0, 1)[:1]
    [row] = summarise(world.evaluations)
    reported = row.members[0].facts["metrics"]["oscr"]
    assert list(row.measures["oscr"].interval_clips) == reported["interval_clips"]


def test_classes_left_out_fill_a_row_each(protocols: Any) -> None:
    emoclip = rows_of(protocols, "leave_one_out")[0]
    assert emoclip.shown_classes == [0, 1]
    assert emoclip.confusion[2:].sum() == 0
    recalls = [emoclip.class_recall(index) for index in (0, 1)]
    assert emoclip.measures["held_out_recall"].runs == pytest.approx(recalls)
    assert emoclip.measures["held_out_recall"].mean == pytest.approx(np.mean(recalls))
    assert emoclip.measures["seen_unweighted_average_recall"].strict is not None


def test_numbers_are_pooled_over_folds(protocols: Any) -> None:
    emoclip = rows_of(protocols, "regression")[0]
    measure = emoclip.measures["concordance_correlation"]
    assert len(measure.runs) == 2
    assert not measure.averaged
    assert emoclip.measures["concordance_correlation_by_subject"].interval_clips is None
    [pair] = groups(summarise(protocols.evaluations))[2].raters
    assert pair["rows"] == protocol_world.CLIPS
    assert 0.9 < pair["by_subject"]["concordance_correlation"] < 1


def test_the_curve_is_the_one_whose_area_is_reported(protocols: Any) -> None:
    one = rows_of(protocols, "open_set")[0].parts[0]
    seen = one.only(one.predicted)
    scores = seen.score[seen.known], seen.right[seen.known], seen.score[~seen.known]
    for counted, area in (
        (np.ones(len(seen.ids)), open_set.auroc(open_set.curve(scores[0], scores[2]))),
        (seen.right, open_set.oscr(*scores)),
    ):
        drawn = np.trapezoid(_accepted(seen, counted), FALSE_RATES)
        # steps of the curve are drawn as slopes between a hundred places
        assert drawn == pytest.approx(area, abs=0.02)


def test_unknown_clips_of_another_set_have_a_table_of_their_own(world: Any, tmp_path) -> None:
    protocol_world.write_open_set(world, "hesp", 1.6, 1)
    note = "the unknown clips come from mafw"
    protocol_world.write_open_set(
        world, "arpl", 0.7, 2, evaluation="across", unknown_from="mafw", notes=[note]
    )
    found = groups(summarise(world.evaluations))
    assert [group.dataset for group in found] == [world.name, f"{world.name}, unknown from mafw"]
    page = build(world.spec(), tmp_path / "report.html").read_text("utf-8")
    assert f"{world.name}, unknown from mafw" in page
    assert note in page


def test_all_labels_must_be_the_same_over_splits(world: Any) -> None:
    folders = protocol_world.write_open_set(world, "hesp", 1.0, 1)
    path = folders[1] / "metrics.json"
    path.write_text(path.read_text().replace('"all_labels": [', '"all_labels": ["x", ', 1))
    with pytest.raises(StoreError, match="all labels differ"):
        summarise(world.evaluations)


def test_comparisons_are_told_in_their_units(protocols: Any) -> None:
    found = comparisons(read_comparisons(protocols.comparisons))
    told = {row.metric: row for row in found["rows"]}
    assert re.fullmatch(r"\+\d+\.\d", told["auroc"].difference)
    assert re.fullmatch(r"\+0\.\d{3}", told["concordance_correlation"].difference)
    assert told["auroc"].reading == "higher; interval excludes 0"
    assert told["auroc"].line.name == "hesp \u2212 arpl · open · AUROC"
    assert len(found["plots"]) == 2


def test_the_page_holds_all_kinds_and_stays_well_formed(protocols: Any) -> None:
    html = build(protocols.spec(), protocols.root / "report").read_text(encoding="utf-8")
    for piece in ("Known and unknown classes", "Classes left out of training", "AUROC", "OSCR",
                  "openness 18.4", "CCC by subject", "ROC: AUROC 87.1", "How far two raters agree",
                  "each class by the model that never saw it", "12 without prediction",
                  "AUROC, OSCR and closed-set accuracy"):  # fmt: skip
        assert piece in html, piece
    for drawing in re.findall(r'<svg class="plane".*?</svg>', html, re.DOTALL):
        assert ElementTree.fromstring(drawing).get("aria-label")
    assert len(html) < 1_500_000
    assert html == build(protocols.spec(), protocols.root / "again").read_text(encoding="utf-8")


def test_tables_of_several_kinds_stand_below_each_other(protocols: Any, tmp_path: Path) -> None:
    paths = results_table.write("t", "Demo", protocols.evaluations, tmp_path)
    markdown = paths[1].read_text()
    assert markdown.count("|---|") >= 3
    assert "AUROC" in markdown.split("leave one out")[0]
    assert "AUROC" not in markdown.split("leave one out")[1]
    for path in paths[1:]:
        assert path.read_text().count("Parameters trained / all") == 3
    with paths[0].open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 6
    assert float(rows[0]["auroc_mean"]) > 0.7
    assert rows[0]["pearson_correlation_mean"] == ""
    assert float(rows[0]["openness_low"]) == pytest.approx(open_set.openness(2, 4))


def test_undefined_numbers_are_dashes(world: Any) -> None:
    known = [label for label in LABELS if label != "anger"]
    row = {"clip_id": "a", "subject": "s", "label": "anger", "prediction": known[0],
           "known_score": 1.0}  # fmt: skip
    facts = {"evaluation": "open", "protocol": "open_set", "labels": known,
             "unknown_labels": ["anger"]}  # fmt: skip
    protocol_world.write_result(world, "m", "open-00", [row], **facts)
    [summary] = summarise(world.evaluations)
    assert cells.measure_text("auroc", summary.measures["auroc"]) == "\u2013"
    assert build(world.spec(), world.root / "report").exists()
