"""The option that names the configuration, and the plan of it."""

from pathlib import Path
from typing import Annotated

import typer

from expressway.planning import settings
from expressway.planning.plan import Plan

ConfigOption = Annotated[
    Path, typer.Option("--config", help="workflow configuration", envvar="EXPRESSWAY_CONFIG")
]
CONFIG = Path("config/config.yaml")


def load_plan(config: Path) -> Plan:
    """Return the plan of a configuration file."""
    return Plan(settings.load(config))
