"""Film strips: clips that a model was sure of, what the stores hold, only where asked for."""

from typing import Any

import numpy as np
import pytest

from expressway.reporting.drawing.filmstrips import (
    choose,
    dots,
    evenly,
    found,
    found_statuses,
    found_strips,
)
from expressway.reporting.open_dataset import OpenDataset
from expressway.reporting.results import summarise


def test_right_and_wrong_clips_are_shown_by_the_best_model(evaluated: Any) -> None:
    choice = choose(OpenDataset(evaluated.dataset()), summarise(evaluated.evaluations), True)
    assert choice is not None
    assert choice.reference.model == "emoclip"
    assert {strip.clip.id for strip in choice.wrong} == {"clip-003", "clip-008", "clip-013"}
    assert len(choice.right) == 6
    assert {strip.truth for strip in choice.right[:4]} == set(choice.reference.labels)
    verdicts = {verdict.model: verdict.right for verdict in choice.right[0].verdicts}
    assert verdicts["emoclip"] is True


def test_of_a_class_the_clip_comes_first_whose_best_score_is_furthest_ahead(world: Any) -> None:
    scores = {one.id: [5.0, 5.0 - i, -20.0, -20.0] for i, one in enumerate(world.clips)}
    guesses = {0: "anger", 12: "anger"}
    world.write_evaluation(
        "m",
        "fold1",
        world.clips,
        lambda one: guesses.get(int(one.id[-3:]), one.labels["emotion"]),
        scores=scores,
    )
    choice = choose(OpenDataset(world.dataset()), summarise(world.evaluations), True)
    assert choice is not None
    # four labels in turn; clip 12 of happiness, the surest of all, is wrong
    assert [s.clip.id for s in choice.right[:4]] == ["clip-008", "clip-013", "clip-014", "clip-015"]
    assert [s.clip.id for s in choice.wrong] == ["clip-012", "clip-000"]


def test_the_choice_does_not_depend_on_the_order_of_clips(evaluated: Any) -> None:
    summaries = summarise(evaluated.evaluations)
    first = choose(OpenDataset(evaluated.dataset()), summaries, True)
    evaluated.clips.reverse()
    second = choose(OpenDataset(evaluated.dataset()), summaries, True)
    assert first is not None
    assert second is not None
    assert [s.clip.id for s in first.right] == [s.clip.id for s in second.right]


def test_no_picture_leaves_the_stores_unasked(evaluated: Any) -> None:
    opened = OpenDataset(evaluated.dataset())
    assert choose(opened, summarise(evaluated.evaluations), False) is None
    assert found_strips(opened, False) == []


def test_strips_carry_boxes_landmarks_and_pictures(world: Any) -> None:
    strip = found_strips(OpenDataset(world.dataset()), True)[0]
    assert len(strip.frames) == len(strip.crops) == 6
    assert 'class="box"' in strip.frames[0]
    assert 'class="box filled"' in strip.frames[-1]
    assert strip.crops[0].count("<circle") == 68
    assert "<circle" not in strip.crops[-1]
    assert "data:image/jpeg;base64," in strip.frames[0]


def test_clips_without_a_face_still_show_their_frames(world: Any) -> None:
    strips = {s.clip.id: s for s in found_strips(OpenDataset(world.dataset()), True)}
    assert len(strips["clip-005"].frames) == 6
    assert strips["clip-005"].crops == ()


def test_what_was_found_names_stage_status_and_message(world: Any) -> None:
    lines = {line.clip.id: line for line in found(OpenDataset(world.dataset()))}
    good, lost = lines["clip-000"], lines["clip-005"]
    assert (good.status, good.fps, good.frames, good.tracks) == ("ok", 25.0, 9, 1)
    assert good.valid == pytest.approx(8 / 9)
    assert (lost.stage, lost.status, lost.valid) == ("faces", "no_face", None)
    assert lost.message == "no face in 9 frames"


@pytest.mark.parametrize(
    ("length", "positions"), [(0, []), (1, [0]), (6, list(range(6))), (11, [0, 2, 4, 6, 8, 10])]
)
def test_frames_are_spread_evenly(length: int, positions: list[int]) -> None:
    assert evenly(length, 6) == positions


def test_points_that_are_not_finite_are_left_out() -> None:
    assert dots(np.array([[1.0, 2.0], [np.nan, 2.0]], np.float32), 1.0).count("<circle") == 1


def test_statuses_count_every_clip_by_its_worst_row(world: Any) -> None:
    note = {"status": "degraded", "error_message": "28 of 100 frames decoded"}
    world.write_stores(frames={"clip-002": note, "clip-005": note})
    statuses = found_statuses(OpenDataset(world.dataset()))
    assert statuses == {"ok": 14, "degraded": 1, "no_face": 1}
