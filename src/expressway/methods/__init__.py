"""The registry of methods: a method is the folder of its name.

Nothing is imported before a method is asked for, so that listing names needs no torch.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expressway.core.config import nearest, validate
from expressway.core.errors import ConfigError

if TYPE_CHECKING:
    from expressway.methods.base import Method, Recipe

_NOT_METHODS = frozenset({"base", "blocks", "releases"})


def names() -> tuple[str, ...]:
    """Return the names of all methods, sorted."""
    found = {module.name for module in pkgutil.iter_modules(__path__)}
    return tuple(sorted(found - _NOT_METHODS))


def get(name: str) -> "type[Method]":
    """Return a method's class.

    Raises:
        ConfigError: there is no such method; the message has the nearest name.
    """
    if name not in names():
        known = ", ".join(names())
        raise ConfigError(f"no method {name!r}{nearest(name, names())}; known: {known}")
    module = importlib.import_module(f"{__name__}.{name}.model")
    method: type[Method] = next(
        value
        for value in vars(module).values()
        if isinstance(value, type) and getattr(value, "name", None) == name
    )
    return method


def recipe(name: str, changes: Mapping[str, Any], where: str = "recipe") -> "Recipe":
    """Return a method's recipe: its defaults with these changes.

    Raises:
        ConfigError: unknown keys or values that are not allowed.
    """
    return validate(get(name).recipe_type, changes, where)


def import_weights(name: str, file: Path, out: Path, backbone: str | None = None) -> Path:
    """Write a published checkpoint as a model folder that evaluations load; return the folder.

    Args:
        backbone: name of the frozen CLIP; None: the one inside the checkpoint.

    Raises:
        ConfigError: unknown method, or the file is no such checkpoint.
    """
    return get(name).import_release(file, out, backbone)
