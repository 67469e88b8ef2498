"""Joined classes are means of their components, for every method that reads class texts."""

import feature_world
import numpy as np
import pytest
import torch
from feature_world import DIM

from expressway import methods
from expressway.core.errors import ConfigError
from expressway.core.store import read_table
from expressway.methods.base import Context
from expressway.models import evaluation, training
from expressway.models.prediction import scores
from expressway.networks import backbones

JOINED = ("happiness", "sadness_anger", "happiness_sadness_anger", "anger_happiness")
METHODS = ("clip", "emoclip", "expclip")


def build(world, name: str, labels: tuple[str, ...], protocol: str) -> methods.base.Method:
    torch.manual_seed(0)
    backbone = backbones.load(world.backbone)
    context = Context(DIM, labels, protocol, feature_world.PROMPTS, backbone.logit_scale, backbone)
    method = methods.get(name)(methods.recipe(name, feature_world.SMALL[name]), context)
    method.read_prompts(backbone)
    return method.eval()


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize("name", METHODS)
def test_a_joined_class_is_the_normalised_mean_of_its_components(world, name) -> None:
    single = build(world, name, feature_world.LABELS, "zero_shot")
    with torch.no_grad():
        joined = build(world, name, JOINED, "compound").encode_texts().numpy()
        # expclip's plain class vectors are shorter than 1 (its own ensemble rule)
        parts = dict(zip(feature_world.LABELS, unit(single.encode_texts().numpy()), strict=True))
    expected = [np.mean([parts[part] for part in label.split("_")], axis=0) for label in JOINED]
    # fp32 sums of two and three vectors
    np.testing.assert_allclose(joined, unit(np.stack(expected)), atol=2e-6)


def test_the_order_of_components_does_not_matter(world) -> None:
    vectors = build(world, "clip", ("sadness_anger", "anger_sadness"), "compound").encode_texts()
    torch.testing.assert_close(vectors[0], vectors[1])


def test_a_component_without_a_text_is_named(world) -> None:
    with pytest.raises(ConfigError, match="no class text for awe"):
        build(world, "clip", ("anger_awe",), "compound")


@pytest.mark.parametrize("name", METHODS)
def test_a_zero_shot_model_is_asked_for_joined_classes(world, tmp_path, name) -> None:
    training.train(world.train_spec(name), tmp_path / "model", tmp_path / "state")
    spec = world.predict_spec("compound", labels=JOINED)
    table = scores.predict(tmp_path / "model", spec, tmp_path / "predictions.parquet")
    rows = [row for row in read_table(table).to_pylist() if row["status"] == "ok"]
    assert {len(row["scores"]) for row in rows} == {len(JOINED)}
    assert {row["prediction"] for row in rows} <= set(JOINED)
    found = evaluation.evaluate(table, tmp_path / "metrics.json")
    assert 0 <= found["metrics"]["weighted_average_recall"]["value"] <= 1
