"""Stages are taken from the model's own record, upstream first."""

import pytest

from expressway.core.errors import ConfigError
from expressway.core.model_card import ModelCard
from expressway.models.prediction.replay import recorded

STORES = {
    "visual_features": {"variant": "small", "faces": "near", "backbone": "local-dir:here"},
    "faces": {"variant": "near", "frames": "slow", "margin": 0.1},
    "frames": {"variant": "slow", "rate": 5},
}


def card(stores):
    return ModelCard(
        model="m", method="clip", recipe={}, labels=("joy",), protocol="zero_shot", task="emotion",
        backbone={"model": "local-dir:there", "dim": 4, "logit_scale": 1.0}, dataset="d",
        split="all", seed=0, selection="last epoch", parameters={}, stores=stores,
    )  # fmt: skip


def test_a_stage_comes_with_all_stages_above_it():
    found = recorded(card(STORES), ["visual_features"], "run")
    assert list(found) == ["frames", "faces", "visual_features"]
    assert found["frames"].rate == 5
    assert found["faces"].margin == 0.1
    assert found["visual_features"].backbone == "local-dir:here"


def test_imported_weights_are_prepared_by_defaults_and_their_backbone():
    found = recorded(card({}), ["visual_features"], "run")
    assert found["visual_features"].backbone == "local-dir:there"
    assert found["faces"].detector == "mediapipe"
    assert found["frames"].rate is None


def test_two_variants_of_one_stage_are_refused():
    stores = {**STORES, "landmarks": {"variant": "l", "faces": "far"}}
    with pytest.raises(ConfigError, match="run: the model reads faces/near and faces/far"):
        recorded(card(stores), ["visual_features", "landmarks"], "run")


def test_a_record_of_another_program_is_refused_by_its_key():
    stores = {**STORES, "frames": {"variant": "slow", "speed": 5}}
    with pytest.raises(ConfigError, match=r"stores\.frames.*speed"):
        recorded(card(stores), ["faces"], "run")
