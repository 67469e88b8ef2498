"""The stages of preparation: a stage is the file of its name, which holds it as ``STAGE``."""

import importlib
import pkgutil

from expressway.core.config import nearest
from expressway.core.errors import ConfigError
from expressway.core.stage import Stage


def _declared() -> dict[str, Stage]:
    """Return the stages of this folder in their order; files without one are shared by several."""
    modules = [
        importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)
    ]
    found: list[Stage] = [module.STAGE for module in modules if hasattr(module, "STAGE")]
    return {stage.name: stage for stage in sorted(found, key=lambda each: (each.order, each.name))}


_STAGES = _declared()
NAMES = tuple(_STAGES)


def get(name: str) -> Stage:
    """Return a stage by name.

    Raises:
        ConfigError: there is no such stage; the message lists them.
    """
    if name not in _STAGES:
        raise ConfigError(f"no stage {name!r}{nearest(name, NAMES)}; stages: {', '.join(NAMES)}")
    return _STAGES[name]


def entries(name: str) -> tuple[str, ...]:
    """Return the entry points of a stage's code: configuration, columns, row function."""
    stage = get(name)
    computing = (stage.config, stage.schema, stage.open)
    return tuple(f"{each.__module__}:{each.__qualname__}" for each in computing)
