"""The command line: a command is the file of its name in ``commands``, imported when it is run."""

import ast
import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from expressway.core.errors import ExpresswayError

COMMANDS = Path(__file__).parent / "commands"
# Files whose command cannot have their name, which is a word of the language.
NAMES = {"import_data": "import"}


class Commands(TyperGroup):
    """Lists the files of ``commands``; opens one only to run it, so that help comes at once."""

    def list_commands(self, context: Any) -> list[str]:
        """Return the names of all commands, sorted."""
        return sorted(_modules())

    def get_command(self, context: Any, name: str) -> Any:
        """Return a command; None where there is none of this name."""
        module = _modules().get(name)
        if module is None:
            return None
        found = importlib.import_module(f"expressway.commands.{module}")
        app = getattr(found, "app", None)
        if app is None:
            app = typer.Typer(add_completion=False, rich_markup_mode=None)
            app.command(name)(found.command)
        command = typer.main.get_command(app)
        command.name = name
        return command

    def format_commands(self, context: Any, formatter: Any) -> None:
        """Write each command's name and what its file says of it."""
        rows = [(name, _summary(module)) for name, module in sorted(_modules().items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _modules() -> dict[str, str]:
    """Return command -> module."""
    found = [module.name for module in pkgutil.iter_modules([str(COMMANDS)])]
    return {
        NAMES.get(name, name.replace("_", "-")): name for name in found if not name.startswith("_")
    }


def _summary(module: str) -> str:
    """Return the first line of a file's docstring, without running the file."""
    text = ast.get_docstring(ast.parse((COMMANDS / f"{module}.py").read_text("utf-8"))) or ""
    return text.partition("\n")[0]


app = typer.Typer(
    name="expressway",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def expressway() -> None:
    """From raw video to facial-expression models, one cached step at a time."""


def main() -> None:
    """Run the command line; errors of ours are printed without a traceback, exit status 1."""
    try:
        app()
    except ExpresswayError as error:
        sys.exit(f"error: {error}")
