"""The stages of preparation, one module per store."""

import importlib

from expressway.core.config import nearest
from expressway.core.errors import ConfigError
from expressway.core.stage import Stage

NAMES = (
    "frames",
    "faces",
    "landmarks",
    "parsing",
    "captions",
    "visual_features",
    "attention",
    "text_embeddings",
    "teacher_embeddings",
)


def get(name: str) -> Stage:
    """Return a stage by name.

    Raises:
        ConfigError: there is no such stage; the message lists them.
    """
    if name not in NAMES:
        raise ConfigError(f"no stage {name!r}{nearest(name, NAMES)}; stages: {', '.join(NAMES)}")
    stage: Stage = importlib.import_module(f"expressway.stages.{name}").STAGE
    return stage


def entries(name: str) -> tuple[str, ...]:
    """Return the entry points of a stage's code: configuration, columns, row function."""
    stage = get(name)
    computing = (stage.config, stage.schema, stage.open)
    return tuple(f"{each.__module__}:{each.__qualname__}" for each in computing)
