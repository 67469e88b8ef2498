"""The audit page: what it shows, and that hostile answers stay text."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from crops import faces_row
from pages import HOSTILE, Tags

from expressway.core.columns import blobs, frame_list
from expressway.core.errors import StoreError
from expressway.core.manifest import Clip
from expressway.core.store import ShardWriter
from expressway.reporting import ReportDataset
from expressway.reporting.captions_page import AuditSpec, build, render
from expressway.stages.captions import CaptionsConfig, schema

LABELS = ("happiness", "anger", "fear")
CLIPS = [
    Clip(f"clip-{i:02d}", f"{i}.mp4", "video", labels={"emotion": LABELS[i % 3]}) for i in range(12)
]
FOLDS = [
    {clip.id: "test" if i // 4 == fold else "train" for i, clip in enumerate(CLIPS)}
    for fold in range(3)
]


def write_captions(path: Path, raw: str | None = None) -> None:
    measured = {"movements": [{"name": "jaw_drop", "strength": 0.91, "apex": {"seconds": 0.48}}]}
    with ShardWriter(path, schema(CaptionsConfig()), {}) as writer:
        for index, clip in enumerate(CLIPS):
            refused = index == 3
            writer.write(
                {
                    "clip_id": clip.id,
                    "status": "refused" if refused else "ok",
                    "error_type": "Answer" if refused else None,
                    "error_message": "refusal: 'I cannot'" if refused else None,
                    "raw": raw or f"A face of {clip.labels['emotion']}, the jaw drops.",
                    "refined": None if refused else "The jaw drops.",
                    "flags": ["refusal"] if refused else [],
                    "measurements": json.dumps(measured),
                    "model": "tiny",
                    "decoding": "{}",
                }
            )


def write_faces(path: Path) -> None:
    fields = pa.schema([frame_list("time", "float64"), blobs("crops")])
    with ShardWriter(path, fields, {}, images=True) as writer:
        for index, clip in enumerate(CLIPS):
            row = faces_row(index)
            kept = {name: row[name] for name in ("time", "crops")}
            writer.write({"clip_id": clip.id, "status": "ok", **kept})


@pytest.fixture
def dataset(tmp_path: Path) -> ReportDataset:
    write_captions(tmp_path / "captions.parquet")
    write_faces(tmp_path / "faces.parquet")
    stores = {
        ("faces", "m"): [tmp_path / "faces.parquet"],
        ("captions", "default"): [tmp_path / "captions.parquet", tmp_path / "not-yet.parquet"],
    }
    return ReportDataset("world", CLIPS, stores)


def test_every_clip_shows_strip_raw_and_refined(dataset: ReportDataset, tmp_path: Path) -> None:
    spec = AuditSpec(dataset, "default", folds=FOLDS, thumbnails=True)
    page = build(spec, tmp_path / "deep" / "audit.html").read_text()
    assert page.count('<article class="strip">') == 12
    assert page.count('<svg class="thumb"') == 12 * 6
    assert page.count("A face of") == 12
    assert page.count(">The jaw drops.<") == 11
    assert "jaw drop 0.91 at 0.48 s" in page
    assert "refusal: &#39;I cannot&#39;" in page


def test_faces_are_shown_only_when_asked(dataset: ReportDataset) -> None:
    page = render(AuditSpec(dataset, "default"))
    assert "<svg" not in page
    assert "personal data" in page


def test_the_leak_of_raw_captions_stands_beside_that_of_refined_ones(
    dataset: ReportDataset,
) -> None:
    page = render(AuditSpec(dataset, "default", folds=FOLDS))
    raw, refined = page.split('<th scope="row">')[1:3]
    assert raw.startswith("raw")
    assert "100.0" in raw
    assert refined.startswith("refined")
    assert "100.0" not in refined
    assert "Not judged" in render(AuditSpec(dataset, "default"))


def test_the_draw_depends_on_the_seed_only(dataset: ReportDataset) -> None:
    first = render(AuditSpec(dataset, "default", clips=3))
    assert first.count("<article") == 3
    assert render(AuditSpec(dataset, "default", clips=3)) == first
    assert render(AuditSpec(dataset, "default", clips=3, seed=1)) != first


@pytest.mark.parametrize("text", [HOSTILE, "x" * 1_000_000])
def test_hostile_answers_are_inert(dataset: ReportDataset, tmp_path: Path, text: str) -> None:
    write_captions(tmp_path / "captions.parquet", text)
    page = render(AuditSpec(dataset, "default", thumbnails=True))
    assert Tags(page).active == []
    assert "\u202e" not in page
    assert len(page) < 2_000_000


def test_a_store_that_is_not_there_says_how_to_make_it(dataset: ReportDataset) -> None:
    with pytest.raises(StoreError, match=r"captions/other.*snakemake results/world"):
        render(AuditSpec(dataset, "other"))
