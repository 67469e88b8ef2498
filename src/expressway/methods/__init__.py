"""The registry of methods: a method is the folder of its name.

Nothing is imported before a method is asked for, so that listing names needs no torch.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from expressway.core.config import nearest, validate
from expressway.core.errors import ConfigError

if TYPE_CHECKING:
    from expressway.methods.base import Method
    from expressway.methods.description import Description, Recipe

_NOT_METHODS = frozenset({"base", "blocks", "description", "releases"})


def names() -> tuple[str, ...]:
    """Return the names of all methods, sorted."""
    found = {module.name for module in pkgutil.iter_modules(__path__)}
    return tuple(sorted(found - _NOT_METHODS))


def get(name: str) -> "type[Method]":
    """Return a method's class.

    Raises:
        ConfigError: there is no such method; the message has the nearest name.
    """
    # by name: whoever only describes methods depends on no torch
    shared = importlib.import_module(f"{__name__}.base").Method
    classes = [value for value in vars(_module(name, "model")).values() if isinstance(value, type)]
    found: type[Method] = next(
        each for each in classes if issubclass(each, shared) and getattr(each, "name", "") == name
    )
    return found


def describe(name: str) -> "type[Description]":
    """Return what is known of a method without its model: no torch is loaded.

    Raises:
        ConfigError: there is no such method; the message has the nearest name.
    """
    found: type[Description] = _module(name, "recipe").Description
    return found


def recipe(name: str, changes: Mapping[str, Any], where: str = "recipe") -> "Recipe":
    """Return a method's recipe: its defaults with these changes.

    Raises:
        ConfigError: unknown keys or values that are not allowed.
    """
    return validate(describe(name).recipe_type, changes, where)


def _module(name: str, part: str) -> ModuleType:
    if name not in names():
        known = ", ".join(names())
        raise ConfigError(f"no method {name!r}{nearest(name, names())}; known: {known}")
    return importlib.import_module(f"{__name__}.{name}.{part}")
