"""Class texts are read once per backbone: the same vectors again, without loading it."""

import feature_world
import torch

from expressway.language.class_vectors import KeptTexts
from expressway.networks import backbones


class Loader:
    """Loads a backbone and counts how often."""

    def __init__(self, folder) -> None:
        self.name, self.count = feature_world.write_backbone(folder), 0

    def __call__(self) -> backbones.Backbone:
        self.count += 1
        return backbones.load(self.name)


def test_texts_are_read_once_and_come_back_equal(tmp_path) -> None:
    load = Loader(tmp_path / "backbone")

    texts = ["happiness", "an expression of fear."]
    first = KeptTexts(tmp_path / "kept", "a" * 64, load).encode_texts(texts)
    again = KeptTexts(tmp_path / "kept", "a" * 64, load).encode_texts(texts)
    assert torch.equal(first, again)
    assert torch.equal(first, backbones.load(load.name).encode_texts(texts))
    assert load.count == 1


def test_other_texts_and_other_weights_are_read_anew(tmp_path) -> None:
    load = Loader(tmp_path / "backbone")

    KeptTexts(tmp_path, "a" * 64, load).encode_texts(["fear"])
    KeptTexts(tmp_path, "a" * 64, load).encode_texts(["anger"])
    KeptTexts(tmp_path, "b" * 64, load).encode_texts(["fear"])
    assert load.count == 3
