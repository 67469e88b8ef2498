"""Texts that stand for classes: named prompt sets, one YAML entry each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from expressway.core.config import StrictModel, nearest, read_yaml, validate
from expressway.core.errors import ConfigError

SLOT = "{label}"


class PromptSet(StrictModel):
    """How classes are put into words: templates for any label, or texts of single labels."""

    about: str = Field("", description="where the wording comes from")
    templates: tuple[str, ...] = Field((), description=f"sentences with {SLOT} for the class name")
    words: dict[str, str] = Field(
        default_factory=dict, description="label -> the word that stands in the templates"
    )
    texts: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="label -> its own sentences, instead of the templates"
    )

    def expand(
        self, labels: Sequence[str], where: str = "prompt set"
    ) -> dict[str, tuple[str, ...]]:
        """Return label -> its texts, in the order of the labels.

        Raises:
            ConfigError: a label has neither texts nor templates.
        """
        found = {label: self.texts.get(label) or self._filled(label) for label in labels}
        without = [label for label, texts in found.items() if not texts]
        if without:
            raise ConfigError(
                f"{where}: no text for {', '.join(without)}{nearest(without[0], self.texts)}; "
                "add it under texts:, or choose a set with templates"
            )
        return found

    def _filled(self, label: str) -> tuple[str, ...]:
        word = self.words.get(label, label.replace("_", " and "))
        return tuple(template.replace(SLOT, word) for template in self.templates)


def read(path: Path) -> dict[str, PromptSet]:
    """Return all prompt sets of a file.

    Raises:
        ConfigError: the file is no such table, or a template lacks its slot.
    """
    return {name: parse(entry, f"{path}: {name}") for name, entry in read_yaml(path).items()}


def parse(entry: Any, where: str) -> PromptSet:
    """Return one entry of a prompts file.

    Raises:
        ConfigError: unknown keys, or a template without its slot.
    """
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{where}: expected templates: or texts:, found {entry!r}")
    found = validate(PromptSet, entry, where)
    for template in found.templates:
        if SLOT not in template:
            raise ConfigError(f"{where}: template {template!r} has no {SLOT}")
    return found


def class_texts(path: Path, name: str, labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return label -> texts of one prompt set.

    Raises:
        ConfigError: there is no such set, or it lacks a label.
    """
    known = read(path)
    if name not in known:
        names = ", ".join(known)
        raise ConfigError(f"{path}: no prompt set {name!r}{nearest(name, known)}; known: {names}")
    return known[name].expand(labels, f"{path}: {name}")


def components(label: str) -> tuple[str, ...]:
    """Return the classes that a joined label names: ``anger_disgust`` is anger and disgust."""
    return tuple(label.split("_"))
