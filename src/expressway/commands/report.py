"""Write the report."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from expressway.commands._options import CONFIG, ConfigOption, load_plan
from expressway.commands._pages import report_spec
from expressway.planning.outputs import Outputs
from expressway.planning.plan import Plan
from expressway.planning.records import note


def command(
    out: Annotated[Path, typer.Option(help="HTML file to write")] = Path(
        "results/report/index.html"
    ),
    dataset: Annotated[str | None, typer.Option(help="report on one data set only")] = None,
    config: ConfigOption = CONFIG,
) -> None:
    """Write the report."""
    print(report(load_plan(config), out, dataset))


def report(plan: Plan, out: Path, dataset: str | None = None) -> Path:
    """Write the report on everything, or on what was found in one data set; return the file."""
    from expressway import reporting

    title = plan.settings.report.title if dataset is None else f"What was found in {dataset}"
    spec = report_spec(plan, title, dataset)
    if dataset is None:
        plain = ("All results as plain tables", "../tables/results.html")
        spec = replace(spec, pages=[plain, *spec.pages])
    outputs = Outputs(plan)
    output = outputs.report(dataset)
    made_of = outputs.record(output)
    written = reporting.build(spec, out)
    if written == Path(output.path):
        note(output.path, made_of)
    return written
