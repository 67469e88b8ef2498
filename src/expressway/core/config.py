"""Strict configuration models: YAML reading, and problems with their nearest valid names."""

import difflib
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from expressway.core.errors import ConfigError

MAX_YAML_BYTES = 4 << 20
MAX_YAML_DEPTH = 50
MAX_YAML_NODES = 100_000
M = TypeVar("M", bound=BaseModel)


class StrictModel(BaseModel):
    """A frozen configuration section that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file (safe loader, at most 4 MiB).

    Raises:
        ConfigError: the file is missing, too large or too deep, not YAML, or not a mapping.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; expected a YAML configuration")
    if path.stat().st_size > MAX_YAML_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_YAML_BYTES >> 20} MiB; not a configuration")
    try:
        text = path.read_text(encoding="utf-8-sig")
        _refuse_bombs(path, text)
        loaded = yaml.load(text, Loader=_SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {error}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: expected key: value pairs, found {type(loaded).__name__}")
    return loaded


_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _refuse_bombs(path: Path, text: str) -> None:
    """Refuse what is small on disk only: deep nests crash the loader, aliases multiply."""
    sizes: dict[str | None, int] = {}
    opened: list[tuple[str | None, int]] = []
    nodes = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, nodes))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            sizes[anchor] = nodes - before
        elif isinstance(event, yaml.ScalarEvent):
            sizes[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            # an alias inside what it names is not known yet: it would have no end
            nodes += sizes.get(event.anchor, MAX_YAML_NODES)
        nodes += isinstance(event, yaml.NodeEvent)
        if len(opened) > MAX_YAML_DEPTH or nodes > MAX_YAML_NODES:
            raise ConfigError(
                f"{path}: more than {MAX_YAML_DEPTH} levels or, with its aliases written out, "
                f"{MAX_YAML_NODES:,} values; not a configuration"
            )


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return a hint such as ``; did you mean 'faces'?``, or an empty string."""
    found = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""


def validate(model: type[M], data: Mapping[str, Any], where: str = "") -> M:
    """Return ``data`` as ``model``.

    Raises:
        ConfigError: one line per problem, each with key path, allowed values and nearest name.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(problems(error, model, where))) from error


def problems(error: ValidationError, model: type[BaseModel], where: str = "") -> list[str]:
    """Return one line per problem of a validation error, in the order of the keys."""
    return [_problem(detail, model, where) for detail in error.errors()]


def _problem(detail: ErrorDetails, model: type[BaseModel], where: str) -> str:
    path = [str(part) for part in detail["loc"]]
    shown = ".".join([where, *path] if where else path) or "(top level)"
    if detail["type"] == "extra_forbidden":
        fields = sorted(_fields_at(model, path[:-1]))
        allowed = f"; allowed: {', '.join(fields)}" if fields else ""
        return f"{shown}: unknown key{nearest(path[-1], fields)}{allowed}"
    if detail["type"] == "literal_error":
        allowed = str(detail.get("ctx", {}).get("expected", ""))
        options = [word.strip(" '") for word in allowed.replace(" or ", ",").split(",")]
        found = str(detail["input"])
        return f"{shown}: {found!r} is not allowed{nearest(found, options)}; allowed: {allowed}"
    if detail["type"] == "missing":
        return f"{shown}: this key is required and missing"
    found = "" if isinstance(detail["input"], dict) else f" (found {detail['input']!r})"
    return f"{shown}: {detail['msg']}{found}"


def _fields_at(model: type[BaseModel], path: Sequence[str]) -> set[str]:
    """Return the field names of the model that stands at ``path`` below ``model``."""
    current: Any = model
    for part in path:
        current = _descend(current, part)
    if isinstance(current, type) and issubclass(current, BaseModel):
        return set(current.model_fields)
    return set()


def _descend(annotation: Any, part: str) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(part)
        return _strip_optional(field.annotation) if field else None
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) in (dict, Mapping) and len(arguments) == 2:
        return _strip_optional(arguments[1])
    if typing.get_origin(annotation) in (list, tuple) and arguments:
        return _strip_optional(arguments[0])
    return None


def _strip_optional(annotation: Any) -> Any:
    arguments = [a for a in typing.get_args(annotation) if a is not type(None)]
    is_optional = type(None) in typing.get_args(annotation)
    return arguments[0] if is_optional and len(arguments) == 1 else annotation
