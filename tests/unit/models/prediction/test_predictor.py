"""Windows of a file and the texts of its classes; whole predictions are tested on a real run."""

import pytest

from expressway.core.errors import ConfigError
from expressway.core.manifest import Clip
from expressway.core.model_card import ModelCard
from expressway.models.prediction.predictor import class_texts, cut

WHOLE = Clip(id="talk", path="talk.mp4")


def card(**changes):
    values = {
        "model": "m", "method": "clip", "recipe": {}, "labels": ("joy", "anger_fear"),
        "backbone": {"model": "local-dir:here", "dim": 4, "logit_scale": 1.0},
        "protocol": "zero_shot", "task": "emotion", "dataset": "d", "split": "all", "seed": 0,
        "selection": "last epoch", "parameters": {},
    }  # fmt: skip
    return ModelCard(**{**values, **changes})


def stretches(duration, length, step):
    return [(clip.id, clip.start, clip.end) for clip in cut(WHOLE, duration, length, step)]


def test_windows_follow_each_other_and_the_last_ends_with_the_file():
    assert stretches(5.9, 2, 2) == [
        ("talk-0000", 0, 2),
        ("talk-0001", 2, 4),
        ("talk-0002", 4, None),
    ]
    # what is left over is shorter than half a window and goes to the last one
    assert stretches(4.8, 2, 2)[-1] == ("talk-0001", 2, None)
    assert [start for _, start, _ in stretches(4.8, 2, 1)] == [0, 1, 2, 3]


@pytest.mark.parametrize("duration", [None, 0.0, 2.9])
def test_a_short_file_or_one_of_unknown_length_has_no_windows(duration):
    assert stretches(duration, 2, 2) == []


@pytest.mark.parametrize(("length", "step"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1)])
def test_windows_and_steps_are_above_zero(length, step):
    with pytest.raises(ConfigError, match="more than 0 s"):
        cut(WHOLE, 10.0, length, step)


def test_class_texts_are_given_or_the_model_s_or_its_template():
    trained = card(prompts={"joy": ("a face of joy.", "smiling."), "anger_fear": ("x.",)})
    texts = class_texts(trained, ("joy", "fear_joy", "rage"), {"rage": ("shouting.",)})
    assert texts == {
        "joy": ("a face of joy.", "smiling."),
        "fear_joy": ("a face of fear and joy.",),
        "rage": ("shouting.",),
    }
    assert class_texts(card(), ("rage",), {}) == {"rage": ("an expression of rage.",)}
