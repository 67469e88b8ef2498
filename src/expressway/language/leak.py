"""Leak audit: how well a bag of words of the captions predicts the label across folds.

A caption that names its clip's emotion turns any model that reads it into a reader of labels. The
audit says how far raw and refined captions can be told apart by their words; what movements
themselves say about an emotion is no leak and keeps the refined number above chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED = 0
WORD = r"[^\W\d_]+"


@dataclass(frozen=True)
class Leak:
    """What a bag of words makes of captions.

    Attributes:
        accuracy: share of test captions whose label is found, None without any test caption.
        recall: mean over classes of the share found (UAR), None likewise.
        chance: the share of the commonest training label among the test labels.
        captions: how many test captions were judged.
        telling: label -> the words that speak most for it.
    """

    accuracy: float | None
    recall: float | None
    chance: float | None
    captions: int
    telling: Mapping[str, Sequence[str]]


def audit(
    texts: Mapping[str, str], labels: Mapping[str, str], folds: Sequence[Mapping[str, str]]
) -> Leak:
    """Train on each fold's training captions, judge its test captions.

    Args:
        texts: clip id -> caption; clips without one are left out.
        labels: clip id -> label name.
        folds: one mapping per fold, clip id -> ``train``, ``validation`` or ``test``.
    """
    usable = {name: text for name, text in texts.items() if name in labels and text.strip()}
    found = [result for fold in folds if (result := _fold(usable, labels, fold)) is not None]
    if not found:
        return Leak(None, None, None, 0, {})
    truth, guess, common = (np.concatenate(parts) for parts in zip(*found, strict=True))
    recalls = [float((guess[truth == name] == name).mean()) for name in np.unique(truth)]
    return Leak(
        accuracy=float((guess == truth).mean()),
        recall=float(np.mean(recalls)),
        chance=float((common == truth).mean()),
        captions=len(truth),
        telling=telling_words(usable, labels),
    )


Names = NDArray[np.str_]


def _fold(
    texts: Mapping[str, str], labels: Mapping[str, str], parts: Mapping[str, str]
) -> tuple[Names, Names, Names] | None:
    """Return truth, guess and the commonest training label of a fold's test captions."""
    train = sorted(name for name in texts if parts.get(name) == "train")
    test = sorted(name for name in texts if parts.get(name) == "test")
    if not test or len({labels[name] for name in train}) < 2:
        return None
    model = _classifier()
    model.fit([texts[name] for name in train], [labels[name] for name in train])
    names, counts = np.unique([labels[name] for name in train], return_counts=True)
    truth = np.array([labels[name] for name in test])
    guess = np.array(model.predict([texts[name] for name in test]))
    return truth, guess, np.full(len(test), names[counts.argmax()])


def _classifier() -> Any:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    # The default pattern would drop words of one letter.
    words = CountVectorizer(binary=True, ngram_range=(1, 2), token_pattern=WORD)
    return make_pipeline(words, LogisticRegression(max_iter=1000, random_state=SEED))


def telling_words(
    texts: Mapping[str, str], labels: Mapping[str, str], number: int = 5
) -> dict[str, list[str]]:
    """Return label -> the words and pairs of words that speak most for it, over all clips."""
    names = sorted(texts)
    if len({labels[name] for name in names}) < 2:
        return {}
    model = _classifier()
    model.fit([texts[name] for name in names], [labels[name] for name in names])
    words = model[0].get_feature_names_out()
    weights, classes = model[1].coef_, list(model[1].classes_)
    if len(weights) == 1:
        weights = np.stack([-weights[0], weights[0]])
    return {
        str(label): [str(words[place]) for place in np.argsort(-row, kind="stable")[:number]]
        for label, row in zip(classes, weights, strict=True)
    }
