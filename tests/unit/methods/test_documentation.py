"""Every key of every recipe is explained with its default, on a page."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from expressway import methods
from expressway.methods import description as base

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs/methods"
QUOTE = '"'
SHARED = set(base.Recipe.model_fields)


def own_keys(name: str) -> set[str]:
    """Return the keys that a method adds to the shared ones, or whose default it changes."""
    fields, shared = methods.get(name).recipe_type.model_fields, base.Recipe.model_fields
    return {k for k, f in fields.items() if k not in shared or f.default != shared[k].default}


def documented(page: Path) -> dict[str, Any]:
    """Return key -> default as the tables of a page have them: | `a`, `b` | 1, 2 | meaning |."""
    found: dict[str, Any] = {}
    for line in page.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        keys = re.findall(r"`(\w+)`", cells[0])
        if len(cells) != 3 or ", ".join(f"`{key}`" for key in keys) != cells[0] or not keys:
            continue
        values = yaml.safe_load(f"[{cells[1].replace('`', QUOTE)}]".replace("none", "null"))
        if len(values) == len(keys):
            found |= dict(zip(keys, values, strict=True))
    return found


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("name", methods.names())
def test_the_page_has_every_key_with_its_default(name) -> None:
    told, fields = documented(PAGES / f"{name}.md"), methods.get(name).recipe_type.model_fields
    assert own_keys(name) - set(told) == set()
    wrong = {k: v for k, v in told.items() if k in fields and v != plain(fields[k].default)}
    assert wrong == {}


def test_the_shared_keys_stand_on_the_first_page() -> None:
    told = documented(PAGES / "README.md")
    assert set(told) >= SHARED
    assert {key: told[key] for key in SHARED} == {
        key: plain(field.default) for key, field in base.Recipe.model_fields.items()
    }


@pytest.mark.parametrize("name", methods.names())
def test_the_page_of_switches_has_every_method(name) -> None:
    headings = re.findall(r"(?m)^## (.*)$", (PAGES / "published.md").read_text("utf-8"))
    assert any(f"`{name}`" in heading for heading in headings)
