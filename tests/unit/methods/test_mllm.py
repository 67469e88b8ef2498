"""Answers of a language model as predictions: a class's own name exactly, no other store."""

import feature_world
import numpy as np
import pytest
import torch

from expressway.core.errors import ConfigError
from expressway.data.clips import Batch, ClipStores
from expressway.methods.base import Context
from expressway.methods.mllm.model import MLLM, Recipe
from expressway.networks import backbones

LABELS = feature_world.LABELS


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> feature_world.FeatureWorld:
    return feature_world.make(tmp_path_factory.mktemp("answers"))


def test_an_answer_that_is_a_class_name_is_that_class(world) -> None:
    backbone = backbones.load(world.backbone)
    names = {label: (label,) for label in LABELS}
    method = MLLM(Recipe(), Context(backbone.dim, LABELS, "zero_shot", names))
    method.read_prompts(backbone)
    answers = ["sadness", "happiness", "anger"]
    rows = [
        {"text_embeddings": {"texts": [a], "embeddings": backbone.encode_texts([a]).numpy()}}
        for a in answers
    ]
    sampled = [method.sample(row, np.random.default_rng(0), False)["answer"] for row in rows]
    labels = torch.zeros(3, dtype=torch.int64)
    scores = method.scores(Batch(tuple(answers), {"answer": torch.stack(sampled)}, labels))
    assert [LABELS[i] for i in scores.argmax(-1)] == answers
    # the same text through the same tower: cosine one up to float32 rounding
    torch.testing.assert_close(scores.max(-1).values, torch.ones(3), rtol=0, atol=1e-5)


def test_vectors_of_refined_captions_are_refused(world, monkeypatch) -> None:
    method = MLLM(Recipe(), Context(feature_world.DIM, LABELS, "zero_shot"))
    stores = ClipStores(world.stores, MLLM.needs["predict"])
    method.check_stores(stores)
    refined = {"config": {"source": "captions.refined"}}
    monkeypatch.setattr(stores, "footer", lambda stage: refined)
    with pytest.raises(ConfigError, match=r"reads raw answers, .* holds captions\.refined"):
        method.check_stores(stores)
