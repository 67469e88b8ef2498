"""Manifest and splits: readable, balanced, identity-disjoint; captions never name an emotion."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from expressway.data import demo
from expressway.data.demo import tables, world
from expressway.data.demo.units import COMPOUNDS, EMOTIONS

SEED, CLIPS = 5, 96
# Stems of emotion words; a caption may contain none of them.
NAMED = re.compile(
    r"happ|joy|glad|cheer|sad|sorrow|unhapp|ang(er|r)|furious|rage|irritat|surpris|shock|astonish|"
    r"disgust|repuls|fear|afraid|scare|anxi|worr|contempt|scorn|disdain|neutral|emotion|feel",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    demo.write_manifest(out, CLIPS, SEED)
    return out


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_of_a_small_world_are_the_first_rows_of_a_big_one(
    folder: Path, tmp_path: Path
) -> None:
    demo.write_manifest(tmp_path, 7, SEED)
    assert read(tmp_path / "manifest.csv") == read(folder / "manifest.csv")[:7]


def test_each_clip_has_one_label_of_one_task(folder: Path) -> None:
    for row in read(folder / "manifest.csv"):
        assert (row["emotion"] in EMOTIONS) != (row["compound"] in COMPOUNDS)
        assert row["path"] == f"clips/{row['id']}.mp4"


def test_captions_differ_and_name_no_emotion(folder: Path) -> None:
    rows = read(folder / "manifest.csv")
    for row in rows:
        for column in ("caption", "caption_2", "caption_3"):
            assert len(row[column]) > 10
            assert not NAMED.search(row[column]), row[column]
    different = sum(row["caption"] != row["caption_2"] for row in rows)
    assert different > 0.85 * len(rows)


def test_folds_are_disjoint_in_subjects_and_cover_every_clip_once(folder: Path) -> None:
    subject = {row["id"]: row["subject"] for row in read(folder / "manifest.csv")}
    splits = read(folder / "splits.csv")
    tested = [row["clip_id"] for row in splits if row["part"] == "test"]
    assert sorted(tested) == sorted(subject)
    for fold in range(1, 6):
        parts: dict[str, set[str]] = {"train": set(), "test": set()}
        for row in splits:
            if row["split"] == f"fold{fold}":
                parts[row["part"]].add(subject[row["clip_id"]])
        assert not parts["train"] & parts["test"]
        assert parts["train"]
        assert parts["test"]


def test_raters_agree_with_the_truth_but_not_fully() -> None:
    truth = np.array([world.expressivity_of(SEED, s) for s in range(world.SUBJECTS)])
    ratings = np.array([tables.ratings_of(SEED, s) for s in range(world.SUBJECTS)])
    first, second = (np.corrcoef(truth, ratings[:, rater])[0, 1] for rater in (0, 1))
    assert 0.85 < first < 0.999
    assert 0.85 < second < 0.999
    assert (ratings[:, 0] != ratings[:, 1]).any()
    assert ratings.min() >= 1.0
    assert ratings.max() <= 7.0


def test_the_manifest_is_one_that_expressway_reads(folder: Path) -> None:
    from expressway.core import manifest

    config = manifest.DatasetConfig(
        manifest=str(folder / "manifest.csv"),
        root=str(folder),
        labels={"emotion": list(EMOTIONS), "compound": list(COMPOUNDS)},
        targets=["expressivity_rater_1", "expressivity_rater_2"],
    )
    clips = manifest.read_manifest(folder / "manifest.csv", config)
    assert len(clips) == CLIPS
    assert all(len(clip.captions) == 3 for clip in clips)
