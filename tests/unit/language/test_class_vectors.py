"""Class texts are read once per backbone: the same vectors again, without loading it."""

import feature_world
import torch

from expressway import backbones
from expressway.language.class_vectors import KeptTexts


def test_texts_are_read_once_and_come_back_equal(tmp_path) -> None:
    name = feature_world.write_backbone(tmp_path / "backbone")
    loads = []

    def load() -> backbones.Backbone:
        loads.append(name)
        return backbones.load(name)

    texts = ["happiness", "an expression of fear."]
    first = KeptTexts(tmp_path / "kept", "a" * 64, load).encode_texts(texts)
    again = KeptTexts(tmp_path / "kept", "a" * 64, load).encode_texts(texts)
    assert torch.equal(first, again)
    assert torch.equal(first, backbones.load(name).encode_texts(texts))
    assert len(loads) == 1


def test_other_texts_and_other_weights_are_read_anew(tmp_path) -> None:
    name = feature_world.write_backbone(tmp_path / "backbone")
    loads = []

    def load() -> backbones.Backbone:
        loads.append(name)
        return backbones.load(name)

    KeptTexts(tmp_path, "a" * 64, load).encode_texts(["fear"])
    KeptTexts(tmp_path, "a" * 64, load).encode_texts(["anger"])
    KeptTexts(tmp_path, "b" * 64, load).encode_texts(["fear"])
    assert len(loads) == 3
