"""Class prompt sets: the committed file, templates, and what is wrong with bad ones."""

from pathlib import Path

import pytest
import yaml

from expressway.core.errors import ConfigError
from expressway.language import prompts

COMMITTED = Path(__file__).parents[3] / "config/prompts/classes.yaml"
MAFW = (
    "happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear", "contempt",
    "anxiety", "helplessness", "disappointment",
)  # fmt: skip


def test_every_committed_set_names_all_classes() -> None:
    for name in prompts.read(COMMITTED):
        texts = prompts.class_texts(COMMITTED, name, MAFW)
        assert tuple(texts) == MAFW
        assert len({texts[label] for label in MAFW}) == len(MAFW)


def test_descriptions_do_not_name_the_class() -> None:
    for label, texts in prompts.class_texts(COMMITTED, "descriptions", MAFW).items():
        assert not any(label in text for text in texts)


def test_templates_are_filled_and_words_replace_labels() -> None:
    found = prompts.parse({"templates": ["a {label} face"], "words": {"anger": "angry"}}, "x")
    assert found.expand(["anger", "happiness_surprise"]) == {
        "anger": ("a angry face",),
        "happiness_surprise": ("a happiness and surprise face",),
    }


def test_a_class_without_a_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "classes.yaml"
    path.write_text(yaml.safe_dump({"mine": {"texts": {"anger": ["cross"]}}}))
    with pytest.raises(ConfigError, match=r"mine: no text for angre; did you mean 'anger'"):
        prompts.class_texts(path, "mine", ["anger", "angre"])
    with pytest.raises(ConfigError, match=r"no prompt set 'mnie'; did you mean 'mine'"):
        prompts.class_texts(path, "mnie", ["anger"])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"templates": ["no slot"]}, "has no {label}"),
        ({"template": ["{label}"]}, "did you mean 'templates'"),
        (["{label}"], "expected templates: or texts:"),
    ],
)
def test_bad_sets_are_refused(entry, message) -> None:
    with pytest.raises(ConfigError, match=message):
        prompts.parse(entry, "classes.yaml: bad")
