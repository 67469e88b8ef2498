"""Print what a run would do and cost, before anything runs."""

from typing import Annotated

import typer

from expressway.commands._options import CONFIG, ConfigOption, load_plan
from expressway.planning.costs import describe


def command(
    table: Annotated[str | None, typer.Argument(help="a table: only what it needs")] = None,
    config: ConfigOption = CONFIG,
) -> None:
    """Print what a run would do: jobs, disk and hours, from measured rates. Nothing runs."""
    print(describe(load_plan(config), table))
