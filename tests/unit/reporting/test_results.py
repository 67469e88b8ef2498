"""Numbers of the results table against hand-worked ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expressway.core.errors import StoreError
from expressway.reporting.results import RECALLS, recall, summarise

UAR, WAR = RECALLS


def test_recalls_of_a_hand_worked_matrix() -> None:
    matrix = np.array([[3.0, 1.0], [2.0, 0.0]])
    assert recall(UAR, matrix) == pytest.approx((0.75 + 0) / 2)
    assert recall(WAR, matrix) == pytest.approx(3 / 6)


def test_a_class_without_clips_does_not_count() -> None:
    assert recall(UAR, np.array([[1.0, 1.0], [0.0, 0.0]])) == pytest.approx(0.5)
    assert recall(UAR, np.zeros((2, 2))) is None


def test_splits_are_averaged_and_pooled(evaluated: Any) -> None:
    emoclip, clip = summarise(evaluated.evaluations)
    # fold1 has clips 0-7 without clip-005 (sadness): only clip-003 (anger) is wrong.
    # fold2 has clips 8-15: clip-008 (happiness) and clip-013 (sadness) are wrong.
    fold1 = (1 + 1 + 1 + 1 / 2) / 4
    fold2 = (1 / 2 + 1 / 2 + 1 + 1) / 4
    measure = emoclip.measures[UAR]
    assert measure.runs == pytest.approx((fold1, fold2))
    assert measure.mean == pytest.approx((fold1 + fold2) / 2)
    assert measure.std == pytest.approx(abs(fold1 - fold2) / np.sqrt(2))
    assert measure.pooled == pytest.approx((3 / 4 + 2 / 3 + 4 / 4 + 3 / 4) / 4)
    assert (emoclip.clips, emoclip.missing, emoclip.splits) == (16, 1, ("fold1", "fold2"))
    assert clip.measures[WAR].pooled == pytest.approx(4 / 16)


def test_intervals_over_clips_and_subjects_hold_the_pooled_value(evaluated: Any) -> None:
    measure = summarise(evaluated.evaluations)[0].measures[WAR]
    for interval in (measure.interval_clips, measure.interval_subjects):
        assert interval is not None
        assert interval[0] < measure.pooled < interval[1]


def test_one_folder_with_many_splits_keeps_its_own_intervals(evaluated: Any) -> None:
    clip = summarise(evaluated.evaluations)[1].measures[UAR]
    assert clip.runs == pytest.approx((0.25, 0.25))
    assert clip.interval_clips == (0.1, 0.9)


def pooled_over_seeds(world: Any, model: str, seeds: int) -> Any:
    for seed in range(seeds):
        guess = ("neutral", "anger")[seed % 2]
        world.write_evaluation(
            model, f"run{seed}", world.clips, lambda _, g=guess: g, ["all"] * 16, seed=seed
        )
    return summarise(world.evaluations)[-1].measures


def test_more_seeds_do_not_make_more_clips(world: Any) -> None:
    two, four = (pooled_over_seeds(world, f"m{seeds}", seeds) for seeds in (2, 4))
    # each clip of neutral and of anger is right under one half of the seeds
    assert two[WAR].pooled == four[WAR].pooled == pytest.approx(0.25)
    assert two[UAR].pooled == pytest.approx((0 + 0 + 0.5 + 0.5) / 4)
    assert two[WAR].interval_clips == four[WAR].interval_clips


def test_missing_predictions_can_be_counted_as_wrong(evaluated: Any) -> None:
    measure = summarise(evaluated.evaluations)[0].measures[WAR]
    assert measure.pooled == pytest.approx(12 / 15)
    assert measure.strict == pytest.approx(12 / 16)


def test_undefined_metrics_stay_undefined(world: Any) -> None:
    metrics = {"pearson": {"value": None, "reason": "constant predictions"}}
    world.write_evaluation("m", "fold1", world.clips, lambda _: "anger", metrics=metrics)
    [summary] = summarise(world.evaluations)
    assert summary.measures["pearson"].mean is None


def test_confusion_rows_are_the_truth(evaluated: Any) -> None:
    emoclip = summarise(evaluated.evaluations)[0]
    anger, neutral = emoclip.labels.index("anger"), emoclip.labels.index("neutral")
    assert emoclip.confusion[anger, neutral] == 1
    assert emoclip.class_count(anger) == 4
    assert emoclip.class_recall(anger) == pytest.approx(3 / 4)


def test_other_labels_under_one_name_are_refused(world: Any) -> None:
    world.write_evaluation("m", "fold1", world.clips, lambda _: "anger")
    world.write_evaluation("m", "fold2", world.clips, lambda _: "anger", labels=["anger", "x"])
    with pytest.raises(StoreError, match=r"fold2.*labels differ"):
        summarise(world.evaluations)


@pytest.mark.parametrize("content", [None, "{"])
def test_missing_or_broken_metrics_name_the_file(
    world: Any, content: str | None, tmp_path: Path, read_json: Callable[[Path], Any]
) -> None:
    folder = world.write_evaluation("m", "fold1", world.clips, lambda _: "anger")
    (folder / "metrics.json").unlink()
    if content:
        (folder / "metrics.json").write_text(content)
    with pytest.raises(StoreError, match=r"metrics\.json"):
        summarise(world.evaluations)
