"""Write what follows from the code: configuration schema, tables of keys, DVC's stores."""

import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from expressway import methods, stages
from expressway.core.manifest import ClassScheme, DatasetConfig
from expressway.planning import settings

BEGIN, END = "<!-- keys: begin -->", "<!-- keys: end -->"


def rewrite(path: Path) -> str:
    """Return the text of a manual with the tables between its marks made anew."""
    before, _, rest = path.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def versioned(text: str) -> str:
    """Return ``dvc.yaml`` with the stores of all stages that DVC keeps, in their order."""
    names = ["coverage", *(name for name in stages.NAMES if stages.get(name).versioned)]
    outs = [f"        - results/${{item}}/{name}:\n            persist: true\n" for name in names]
    head, found, tail = text.partition("      outs:\n")
    rest = tail.partition("\n\n")
    return f"{head}{found}{''.join(outs)}{rest[1][1:]}{rest[2]}"


def tables() -> str:
    """Return a Markdown table per configuration section."""
    sections: list[tuple[str, type[BaseModel]]] = [
        ("The file", settings.Settings),
        ("`config/datasets/NAME.yaml`", DatasetConfig),
        ("`class_schemes.NAME` of a data set", ClassScheme),
        *((f"`stages.{name}.VARIANT`", stages.get(name).config) for name in stages.NAMES),
        ("`models.NAME`", settings.ModelConfig),
        ("`evaluations.NAME`", settings.EvaluationConfig),
        ("`comparisons`", settings.ComparisonConfig),
        ("`config/tables/NAME.yaml`", settings.TableConfig),
        ("`rows` of a table", settings.TableRow),
        ("`report`", settings.ReportConfig),
        *((f"Recipe of `{name}`", methods.get(name).recipe_type) for name in methods.names()),
    ]
    return "\n".join(f"### {title}\n\n{_table(model)}\n" for title, model in sections)


def _table(model: type[BaseModel]) -> str:
    rows = [line for name, field in model.model_fields.items() for line in _rows(name, field)]
    return "\n".join(["| key | values | default | meaning |", "|---|---|---|---|", *rows])


def _rows(name: str, field: FieldInfo) -> list[str]:
    kind = field.annotation
    meaning = (field.description or "").replace("|", "\\|")
    row = f"| `{name}` | {_values(kind)} | {_default(field)} | {meaning} |"
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not settings.StagesConfig:
        below = [line for key, sub in kind.model_fields.items() for line in _rows(key, sub)]
        return [row, *(line.replace("| `", f"| `{name}.", 1) for line in below)]
    return [row]


def _values(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (types.UnionType, typing.Union):
        return " or ".join("null" if a is type(None) else _values(a) for a in arguments)
    if origin in (list, tuple):
        return f"list of {_values(arguments[0])}" if arguments else "list"
    if origin is dict:
        return f"name: {_values(arguments[1])}"
    if origin is typing.Annotated:
        return _values(arguments[0])
    names = {str: "text", int: "whole number", float: "number", bool: "true, false"}
    return names.get(kind, "section" if isinstance(kind, type) else "any")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is PydanticUndefined and field.default_factory is not None:
        value = field.default_factory()  # type: ignore[call-arg]
    if isinstance(value, BaseModel):
        return ""
    text = (
        {None: "null", True: "true", False: "false"}.get(value, value) if _plain(value) else value
    )
    return f"`{text}`"


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def command() -> None:
    """Write config/config.schema.json, the tables in config/README.md and dvc.yaml anew."""
    Path("config/config.schema.json").write_text(settings.json_schema(), "utf-8")
    page = Path("config/README.md")
    page.write_text(rewrite(page), "utf-8")
    outputs = Path("dvc.yaml")
    if outputs.is_file():
        outputs.write_text(versioned(outputs.read_text("utf-8")), "utf-8")
