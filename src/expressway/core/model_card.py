"""A model folder's ``model.json``: all that a prediction needs to know about a model."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from expressway.core.errors import ConfigError
from expressway.core.files import write_json
from expressway.core.fingerprints import file_digest

CARD = "model.json"
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class ModelCard:
    """What a model is and what it was made from.

    Attributes:
        recipe: the whole recipe, defaults included.
        backbone: ``model`` (its name), ``sha256`` of its weights, ``dim``, ``logit_scale``.
        labels: class names in the order of the scores; empty where texts name the classes.
        parameters: ``trainable`` and ``total`` (the frozen backbone included).
        selection: which epoch's weights these are.
        threshold: a confidence below it means "unknown" (protocol open_set; set on training clips,
            95 % of which lie above).
        targets: columns of numbers that the model predicts (protocol regression).
        stores: stage -> variant and configuration that the features were made with.
        clips: how many clips were trained on, and how many were left out, by status.
        made_of: what identifies the model, in parts (``expressway why``).
        weights_sha256: of the weights beside the card.
        history: one entry per epoch: mean loss terms and step size.
    """

    model: str
    method: str
    recipe: Mapping[str, Any]
    backbone: Mapping[str, Any]
    labels: tuple[str, ...]
    protocol: str
    task: str | None
    dataset: str | None
    split: str
    seed: int
    selection: str
    parameters: Mapping[str, int]
    targets: tuple[str, ...] = ()
    threshold: float | None = None
    prompts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    prompt_set: str | None = None
    stores: Mapping[str, Any] = field(default_factory=dict)
    clips: Mapping[str, int] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    made_of: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Mapping[str, float], ...] = ()

    def write(self, folder: Path) -> None:
        """Write the card for the weights beside it; last, so a folder with a card is complete."""
        weights = file_digest(folder / WEIGHTS)
        write_json(folder / CARD, {**asdict(self), "weights_sha256": weights})

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the card of a model folder.

        Raises:
            ConfigError: the folder holds no model, or one of another layout.
        """
        path = folder / CARD
        try:
            facts = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: no model here ({error}); train it first") from error
        known = {entry.name for entry in fields(cls)}
        try:
            card = cls(**{key: value for key, value in facts.items() if key in known})
            prompts = {label: tuple(texts) for label, texts in card.prompts.items()}
            lists = {"labels": tuple(card.labels), "targets": tuple(card.targets)}
        except (TypeError, AttributeError) as error:
            raise ConfigError(f"{path}: not a model card of this program: {error}") from error
        return cls(**{**vars(card), **lists, "prompts": prompts})
