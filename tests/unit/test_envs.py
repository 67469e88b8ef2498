"""The conda environments hold the pins of constraints.txt and every package their jobs import."""

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).parents[2]
ENVS = sorted((ROOT / "envs").glob("*.yaml"))
PLUMBING = (
    "expressway.cli",
    "expressway.core.stage",
    "expressway.core.store",
    "expressway.core.manifest",
)
# `expressway demo train-backbone` is run by hand in the full environment; no job imports it.
BY_HAND = {"expressway.data.demo.backbone"}
ENTRIES = {
    "media": ("expressway.stages.frames", "expressway.data.demo.render"),
    "faces": ("expressway.stages.faces", "expressway.stages.landmarks"),
    "language": (
        "expressway.stages.visual_features",
        "expressway.stages.attention",
        "expressway.stages.text_embeddings",
    ),
    "train": ("expressway.models.training", "expressway.models.prediction.scores"),
    "report": ("expressway.models.evaluation.kinds", "expressway.reporting.page"),
}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lines: list[str]) -> dict[str, str]:
    pairs = (line.split("==") for line in lines if "==" in line)
    return {canonical(name.strip()): version.strip() for name, version in pairs}


def env_pins(path: Path) -> dict[str, str]:
    dependencies = yaml.safe_load(path.read_text())["dependencies"]
    [listed] = [entry["pip"] for entry in dependencies if isinstance(entry, dict)]
    assert all("==" in line for line in listed), f"{path.name}: every package needs a pin"
    return pins(listed)


def with_dependencies(names: set[str]) -> set[str]:
    """The distributions with all that they require, as installed here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        waiting += [
            canonical(re.split(r"[ ;<>=!~\[(]", line)[0])
            for line in required
            if "extra ==" not in line
        ]
    return found


def imported(module: str) -> set[str]:
    """Top-level names that a module of ours imports anywhere, the standard library left out."""
    path = ROOT.joinpath("src", *module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"expressway"}


def test_there_is_one_environment_per_stage_family() -> None:
    assert [path.stem for path in ENVS] == sorted(ENTRIES)


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.stem)
def test_pins_equal_the_constraints(path: Path) -> None:
    constraints = pins((ROOT / "constraints.txt").read_text().splitlines())
    differing = {
        name: (version, constraints.get(name))
        for name, version in env_pins(path).items()
        if constraints.get(name) != version
    }
    assert differing == {}, f"{path.name}: (here, constraints.txt)"


@pytest.mark.parametrize("family", ENTRIES)
def test_environments_hold_what_their_jobs_import(family: str) -> None:
    held = with_dependencies(set(env_pins(ROOT / "envs" / f"{family}.yaml")))
    owners = metadata.packages_distributions()
    imports = grimp.build_graph("expressway", exclude_type_checking_imports=True)
    entries = ENTRIES[family]
    modules = {*entries, *PLUMBING}.union(*map(imports.find_upstream_modules, entries))
    missing = {
        (module, name)
        for module in modules - BY_HAND
        for name in imported(module)
        if not {canonical(owner) for owner in owners.get(name, [name])} & held
    }
    assert missing == set()
