"""The prompt learner: same numbers as the tower itself, gradients to the context only."""

import pytest
import torch

from expressway.core.errors import ConfigError
from expressway.methods.blocks.prompts import PromptLearner, encode_embedded, token_embedding
from expressway.networks import backbones

TEXTS = ("anger.", "a face of deep fear.")


def test_given_embeddings_encode_as_the_tower_does(tiny_clip) -> None:
    backbone = backbones.load(tiny_clip())
    ids = backbone.tokenize(TEXTS)
    embeddings = token_embedding(backbone.model)(ids)
    found = encode_embedded(backbone.model, ids, embeddings)
    torch.testing.assert_close(found, backbone.encode_texts(TEXTS))
    # the tower reads ids again afterwards
    assert not torch.equal(backbone.encode_texts(["fear."]), found[:1])


def test_a_context_of_words_equals_the_written_sentence(tiny_clip) -> None:
    backbone = backbones.load(tiny_clip())
    learner = PromptLearner(backbone, TEXTS, tokens=3)
    words = backbone.tokenize(["x y z"])[0, 1:4]
    with torch.no_grad():
        learner.context.copy_(token_embedding(backbone.model)(words).expand_as(learner.context))
    written = backbone.encode_texts([f"x y z {text}" for text in TEXTS])
    torch.testing.assert_close(learner().detach(), written)


@pytest.mark.parametrize("custom", [False, True])
def test_gradients_reach_the_context_and_nothing_else(tiny_clip, custom) -> None:
    import open_clip

    backbone = backbones.load(tiny_clip())
    if custom:  # towers kept apart, as SigLIP's and many others'
        model = backbone.model
        clip = open_clip.CustomTextCLIP(**_config(backbone)).eval().requires_grad_(False)
        backbone = backbones.Backbone(**{**_fields(backbone), "model": clip})
        assert not hasattr(model, "text")
    learner = PromptLearner(backbone, TEXTS, tokens=4)
    learner().square().sum().backward()
    assert learner.context.shape == (2, 4, 8)
    assert (learner.context.grad.flatten(1).norm(dim=-1) > 0).all()
    assert all(p.grad is None for p in backbone.model.parameters())
    assert list(learner.state_dict()) == ["context"]


def _config(backbone: backbones.Backbone) -> dict:
    return backbones.description(backbone.name)["model_cfg"]


def _fields(backbone: backbones.Backbone) -> dict:
    return {name: getattr(backbone, name) for name in backbone.__dataclass_fields__}


def test_a_context_that_leaves_no_room_is_refused(tiny_clip) -> None:
    backbone = backbones.load(tiny_clip())
    ids = backbone.tokenize(["fear."])
    used = int(ids.argmax()) + 1
    PromptLearner(backbone, ["fear."], backbone.context_length - used)
    for tokens in (backbone.context_length - used + 1, 100):
        with pytest.raises(ConfigError, match="lower context_tokens"):
            PromptLearner(backbone, ["fear."], tokens)
    exactly = " ".join(["fear"] * (backbone.context_length - 2))
    with pytest.raises(ConfigError, match="lower context_tokens"):
        PromptLearner(backbone, [exactly], 1)
