"""The choice of an epoch: by clips of the training part or a validation part, never by test."""

from collections import Counter
from dataclasses import replace

import feature_world
import numpy as np
import pytest
from feature_world import LABELS

from expressway.core.errors import ConfigError
from expressway.core.model_card import CARD, WEIGHTS, ModelCard
from expressway.data.splits import labelled, part
from expressway.models import training
from expressway.models.training.data import divide
from expressway.models.training.loop import Loop

RECIPE = {**feature_world.SMALL["emoclip"], "selection": "validation", "validation_fraction": 0.34}


@pytest.fixture
def spec(world):
    return world.train_spec("emoclip", "supervised", recipe=RECIPE)


def trainable(spec):
    return labelled(part(spec.clips, spec.parts, "train"), spec.task, spec.labels)


def test_the_cut_keeps_subjects_apart_and_classes_mixed(spec) -> None:
    clips = trainable(spec)
    rest, judged, source = divide(clips, spec, 0.34)
    assert {c.id for c in rest} | {c.id for c in judged} == {c.id for c in clips}
    assert {c.subject for c in rest}.isdisjoint(c.subject for c in judged)
    assert source == "clips of 2 subjects cut off the training part"
    for side in (rest, judged):
        counts = Counter(clip.labels["emotion"] for clip in side)
        # each subject shows each class twice
        assert max(counts.values()) - min(counts[label] for label in LABELS) <= 1


def test_the_cut_depends_on_the_seed_only(spec) -> None:
    clips = trainable(spec)
    first = [c.id for c in divide(clips, spec, 0.34)[1]]
    assert [c.id for c in divide(clips, spec, 0.34)[1]] == first
    others = [[c.id for c in divide(clips, replace(spec, seed=seed), 0.34)[1]] for seed in range(5)]
    assert any(other != first for other in others)


def test_without_subjects_clips_are_cut_off_one_by_one(spec) -> None:
    clips = [replace(clip, subject=None) for clip in trainable(spec)]
    rest, judged, source = divide(clips, spec, 0.25)
    assert len(judged) == pytest.approx(len(clips) / 4, abs=1)
    assert len(rest) + len(judged) == len(clips)
    assert source == "clips cut off the training part"


def test_a_validation_part_of_the_split_is_taken_whole(world, spec) -> None:
    parts = {k: "validation" if v == "test" else v for k, v in spec.parts.items()}
    rest, judged, source = divide(trainable(spec), replace(spec, parts=parts), 0.34)
    assert [c.id for c in rest] == [c.id for c in trainable(spec)]
    assert {parts[clip.id] for clip in judged} == {"validation"}
    assert source == "clips of the split's validation part"


def test_a_cut_that_takes_a_whole_class_is_refused(spec) -> None:
    alone = {"subject-0": "anger"}
    clips = [
        replace(c, labels={"emotion": alone.get(c.subject, "happiness")}) for c in trainable(spec)
    ]
    two = [c for c in clips if c.subject in ("subject-0", "subject-1")]
    with pytest.raises(ConfigError, match="no validation clips can be cut off .* fold1"):
        divide(two, spec, 0.5)
    with pytest.raises(ConfigError, match="show one subject only"):
        divide([c for c in two if c.subject == "subject-0"], spec, 0.5)


@pytest.mark.parametrize("protocol", ["zero_shot", "regression"])
def test_without_classes_there_is_nothing_to_choose_by(world, tmp_path, protocol) -> None:
    name = "emoclip" if protocol == "zero_shot" else "linear"
    changes = {} if protocol == "zero_shot" else {"targets": feature_world.TARGETS}
    recipe = {**feature_world.SMALL[name], "selection": "validation"}
    with pytest.raises(ConfigError, match=rf"under {protocol} does not know; set selection: last"):
        training.train(
            world.train_spec(name, protocol, **{**changes, "recipe": recipe}), tmp_path, tmp_path
        )


def test_the_best_epoch_is_kept_and_the_card_says_why(world, spec, tmp_path) -> None:
    # a step size that spoils the weights again and again: the last epoch is not the best
    recipe = {**RECIPE, "epochs": 6, "learning_rate": 0.3, "schedule": "constant"}
    spec = replace(spec, recipe=recipe)
    training.train(spec, tmp_path / "out", tmp_path / "state")
    card = ModelCard.read(tmp_path / "out")
    recalls = [row["validation_recall"] for row in card.history]
    best = int(np.argmax(recalls))
    assert best + 1 < 6, "the world does not show a difference any more; choose another step size"
    assert card.selection == (
        f"epoch {best + 1} of 6: highest unweighted average recall ({recalls[best]:.4f}) on "
        f"{card.clips['validation']} clips of 2 subjects cut off the training part"
    )
    shorter = replace(spec, recipe={**recipe, "epochs": best + 1})
    training.train(shorter, tmp_path / "short", tmp_path / "state-short")
    assert (tmp_path / "short" / WEIGHTS).read_bytes() == (tmp_path / "out" / WEIGHTS).read_bytes()


def test_test_clips_do_not_take_part(world, spec, tmp_path) -> None:
    training.train(spec, tmp_path / "with", tmp_path / "a")
    without = [clip for clip in spec.clips if spec.parts[clip.id] != "test"]
    training.train(replace(spec, clips=without), tmp_path / "without", tmp_path / "b")
    assert (tmp_path / "with" / WEIGHTS).read_bytes() == (
        tmp_path / "without" / WEIGHTS
    ).read_bytes()


def test_a_resumed_run_remembers_the_best_epoch(spec, tmp_path) -> None:
    recipe = {**RECIPE, "epochs": 6, "learning_rate": 0.3, "schedule": "constant"}
    spec = replace(spec, recipe=recipe)
    training.train(spec, tmp_path / "whole", tmp_path / "state-whole")
    begin = Loop.on_train_epoch_start

    def dying(self):
        if self.current_epoch == 5:
            raise KeyError("killed before the last epoch")
        begin(self)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyError):
        patch.setattr(Loop, "on_train_epoch_start", dying)
        training.train(spec, tmp_path / "out", tmp_path / "state", checkpoint_seconds=0)
    training.train(spec, tmp_path / "out", tmp_path / "state")
    for name in (WEIGHTS, CARD):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
