"""The code that computes an output: from its entry points to every definition that they use.

A fingerprint covers the definitions of ours (functions, classes, constants) that an entry point
reaches by name, wherever they stand, except in ``core`` and in folders named ``machine``, which
decide how and never what. Imports, docstrings, comments, descriptions of keys, and the messages of
``raise``, ``print`` and logging do not count, nor does the module in which a definition stands.
"""

import ast
import copy
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

PACKAGE = "expressway"
# Folders of this name run things: processes, devices, files. What is computed is the same however.
MACHINE = "machine"
OUTSIDE = f"{PACKAGE}.core"
LOGGERS = frozenset({"log", "logger", "logging", "warnings"})
# The module as a whole: its statements that define nothing.
LOOSE = ""


class Reference(NamedTuple):
    """A definition of ours; ``name`` is None where a whole module is meant."""

    module: str
    name: str | None


@dataclass(frozen=True)
class Definition:
    """One definition as text without prose, and the definitions of ours that it names."""

    text: str
    uses: frozenset[Reference]


@dataclass
class Module:
    """A module's definitions by name, and what its imports bind."""

    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, Reference] = field(default_factory=dict)


def code_parts(entries: Iterable[str]) -> dict[str, str]:
    """Return module -> digest of the definitions in it that the entry points reach.

    Args:
        entries: ``package.module:name``, or ``package.module`` for all that it defines.
    """
    texts: dict[str, list[str]] = {}
    for reference in reached(entries):
        text = _definition(reference).text
        if text:
            texts.setdefault(reference.module, []).append(text)
    return {module: _digest(sorted(found)) for module, found in sorted(texts.items())}


@lru_cache(maxsize=256)
def code_fingerprint(*entries: str) -> str:
    """Identify the code that the entry points run, wherever its definitions stand."""
    return _digest(sorted(_definition(reference).text for reference in reached(entries)))


def code_modules(*entries: str) -> set[str]:
    """Return the names of the modules of ours that the entry points reach."""
    return {reference.module for reference in reached(entries)}


def reached(entries: Iterable[str]) -> set[Reference]:
    """Return every definition that the entry points use, directly or not."""
    found: set[Reference] = set()
    waiting = [_entry(entry) for entry in entries]
    while waiting:
        for reference in _resolved(waiting.pop()):
            if reference not in found:
                found.add(reference)
                waiting.extend(_definition(reference).uses)
    return found


def _entry(text: str) -> Reference:
    module, _, name = text.partition(":")
    return Reference(module, name or None)


def _resolved(reference: Reference) -> list[Reference]:
    """Return the definitions that a reference leads to, through what modules pass on."""
    module, name = reference
    if _is_outside(module):
        return []
    known = _module(module)
    if name is None:
        return [Reference(module, each) for each in known.definitions]
    if name in known.definitions:
        return [Reference(module, each) for each in (name, LOOSE) if each in known.definitions]
    if name in known.imports:
        return _resolved(known.imports[name])
    return _resolved(Reference(f"{module}.{name}", None)) if _source(f"{module}.{name}") else []


def _is_outside(module: str) -> bool:
    parts = module.split(".")
    return MACHINE in parts or ".".join(parts[:2]) == OUTSIDE


@lru_cache(maxsize=512)
def _source(module: str) -> Path | None:
    """Return a module's file without importing the module itself."""
    root = Path(__file__).parents[1]
    path = root.joinpath(*module.split(".")[1:])
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if module.split(".")[0] == PACKAGE and candidate.is_file():
            return candidate
    if module.split(".")[0] == PACKAGE:
        return None
    spec = importlib.util.find_spec(module)
    return Path(spec.origin) if spec and spec.origin else None


@lru_cache(maxsize=512)
def _module(name: str) -> Module:
    path = _source(name)
    found = Module()
    for statement in ast.parse(path.read_text("utf-8")).body if path else ():
        if isinstance(statement, ast.Import | ast.ImportFrom):
            found.imports |= _bindings(statement)
        elif not _is_prose(statement) and not _is_for_types(statement):
            for defined in _names(statement) or (LOOSE,):
                found.definitions.setdefault(defined, []).append(statement)
    return found


def _names(statement: ast.stmt) -> list[str]:
    """Return the names that a statement defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        nodes = [node for target in targets for node in ast.walk(target)]
        return [node.id for node in nodes if isinstance(node, ast.Name)]
    return []


def _bindings(statement: ast.Import | ast.ImportFrom) -> dict[str, Reference]:
    """Return the names that an import binds to what is ours."""
    if isinstance(statement, ast.ImportFrom):
        module = statement.module or ""
        return {
            alias.asname or alias.name: _imported(module, alias.name)
            for alias in statement.names
            if _source_of_ours(module)
        }
    return {
        alias.asname or alias.name: Reference(alias.name, None)
        for alias in statement.names
        if _source_of_ours(alias.name)
    }


def _source_of_ours(module: str) -> bool:
    ours = module.startswith(f"{PACKAGE}.") or module == PACKAGE
    return ours and module.replace(".", "").isidentifier() and _source(module) is not None


def _imported(module: str, name: str) -> Reference:
    inner = f"{module}.{name}"
    return Reference(inner, None) if _source(inner) else Reference(module, name)


@lru_cache(maxsize=8192)
def _definition(reference: Reference) -> Definition:
    module = _module(reference.module)
    statements = module.definitions[str(reference.name)]
    own = {name: Reference(reference.module, name) for name in module.definitions}
    reader = _Reader({**own, **module.imports})
    # a statement that defines several names is read for each of them
    plain = [reader.read(copy.deepcopy(statement)) for statement in statements]
    return Definition("\n".join(map(ast.unparse, plain)), frozenset(reader.uses))


class _Reader(ast.NodeTransformer):
    """Strips prose from a definition and notes what it uses.

    What is imported is written by the name it was defined under, without its module, so that
    neither an alias nor a move changes the text.
    """

    def __init__(self, bound: Mapping[str, Reference]) -> None:
        self.bound = dict(bound)
        self.uses: set[Reference] = set()

    def read(self, statement: ast.stmt) -> ast.stmt:
        """Return the statement as it counts."""
        for node in ast.walk(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.bound |= _bindings(node)
        found: Any = self.visit(statement)
        return cast(ast.stmt, found)

    def visit(self, node: ast.AST) -> ast.AST:
        """Drop what is prose from the bodies of a node before its parts are read."""
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(node, name, None)
            if isinstance(statements, list):
                kept = [s for s in statements if not (_is_prose(s) or _is_import(s))]
                setattr(node, name, kept or ([ast.Pass()] if statements else []))
        found: ast.AST = super().visit(node)
        return found

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Keep which error is raised, and values without spaces; drop its message."""
        if isinstance(node.exc, ast.Call):
            node.exc.args = [argument for argument in node.exc.args if not _is_message(argument)]
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Drop what describes a key of the configuration."""
        if isinstance(node.func, ast.Name) and node.func.id == "Field":
            node.keywords = [word for word in node.keywords if word.arg != "description"]
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Read ``module.name`` of a module of ours as the name."""
        owner = self._module_named(node.value)
        if owner is None:
            return self.generic_visit(node)
        self.uses.add(Reference(owner, node.attr))
        return ast.copy_location(ast.Name(node.attr, node.ctx), node)

    def _module_named(self, node: ast.expr) -> str | None:
        """Return the module of ours that ``name`` or ``package.module`` stands for."""
        bound = self.bound.get(ast.unparse(node)) if _is_dotted(node) else None
        return bound.module if bound and bound.name is None else None

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Note a use; write an imported name as it was defined."""
        bound = self.bound.get(node.id)
        if bound is None:
            return node
        self.uses.add(bound)
        return ast.copy_location(ast.Name(bound.name or node.id, node.ctx), node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Note a module of ours that is named in full, to be imported by name."""
        if isinstance(node.value, str) and _source_of_ours(node.value):
            self.uses.add(Reference(node.value, None))
        return node


def _is_dotted(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) or (
        isinstance(node, ast.Attribute) and _is_dotted(node.value)
    )


def _is_import(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Import | ast.ImportFrom)


def _is_for_types(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"


def _is_prose(statement: ast.stmt) -> bool:
    """Return whether a statement only tells people something."""
    if not isinstance(statement, ast.Expr):
        return False
    if isinstance(statement.value, ast.Constant):
        return True
    called = statement.value.func if isinstance(statement.value, ast.Call) else None
    if isinstance(called, ast.Attribute):
        return isinstance(called.value, ast.Name) and called.value.id in LOGGERS
    return isinstance(called, ast.Name) and called.id == "print"


def _is_message(argument: ast.expr) -> bool:
    """Return whether an argument of an error is for people: an f-string, or words."""
    if isinstance(argument, ast.JoinedStr):
        return True
    if isinstance(argument, ast.BinOp):
        return _is_message(argument.left) or _is_message(argument.right)
    return isinstance(argument, ast.Constant) and " " in str(argument.value)


def _digest(texts: list[str]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
