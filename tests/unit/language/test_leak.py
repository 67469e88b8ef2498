import numpy as np
import pytest

from expressway.language.leak import audit, telling_words

LABELS = {f"c{i}": ("joy", "rage", "calm")[i % 3] for i in range(60)}
FOLDS = [
    {name: "test" if int(name[1:]) // 12 == fold else "train" for name in LABELS}
    for fold in range(5)
]


def test_a_caption_that_names_its_label_is_read_every_time() -> None:
    texts = {name: f"a face of {label}" for name, label in LABELS.items()}
    found = audit(texts, LABELS, FOLDS)
    assert found.accuracy == found.recall == 1.0
    assert found.captions == 60
    assert all(label in " ".join(words) for label, words in found.telling.items())


def test_captions_without_a_hint_are_read_no_better_than_by_chance() -> None:
    rng = np.random.default_rng(0)
    words = ("brow", "lip", "eye", "jaw")
    texts = {name: " ".join(rng.choice(words, 3)) for name in LABELS}
    found = audit(texts, LABELS, FOLDS)
    # 60 guesses among three equal classes: chance 1/3, four standard errors of 0.06 above it
    assert found.accuracy is not None
    assert found.accuracy < 0.58


def test_test_captions_are_never_trained_on() -> None:
    texts = {name: f"word{chr(97 + int(name[1:]) % 26)}{name}" for name in LABELS}
    assert audit(texts, LABELS, FOLDS).accuracy != 1.0


@pytest.mark.parametrize("texts", [{}, {"c0": "a"}, {"c0": " ", "c1": ""}, {"other": "a"}])
def test_nothing_to_judge_is_said_so(texts: dict[str, str]) -> None:
    found = audit(texts, LABELS, FOLDS)
    assert (found.accuracy, found.recall, found.captions) == (None, None, 0)


def test_telling_words_of_two_classes() -> None:
    texts = {"a": "up", "b": "down", "c": "up", "d": "down"}
    found = telling_words(texts, {"a": "x", "b": "y", "c": "x", "d": "y"}, number=1)
    assert found == {"x": ["up"], "y": ["down"]}
