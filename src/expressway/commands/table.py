"""Write results as tables: csv, md, html and tex."""

from pathlib import Path
from typing import Annotated

import typer

from expressway.commands._options import CONFIG, ConfigOption, load_plan
from expressway.commands._pages import report_spec
from expressway.core.files import write_json
from expressway.planning import paths, settings
from expressway.planning.outputs import Outputs
from expressway.planning.plan import Plan, narrowed
from expressway.planning.records import note

TABLES = paths.RESULTS / "tables"


def command(
    name: Annotated[str, typer.Argument(help="name of the files in results/tables")] = "results",
    config: ConfigOption = CONFIG,
) -> None:
    """Write the results of all evaluations as csv, md, html and tex."""
    for path in table(load_plan(config), name):
        print(path)


def table(plan: Plan, name: str) -> list[Path]:
    """Write ``results/tables/NAME.{csv,md,html,tex}``; return the files.

    ``results`` is the table of everything, with ``metrics.json``; the others stand in the
    configuration's ``tables``.
    """
    return _all_results(plan) if name == "results" else _published_table(plan, name)


def _published_table(plan: Plan, name: str) -> list[Path]:
    from expressway.reporting import published_table

    described = settings.table(name)
    rows = [
        (
            title,
            {
                column: [Path(paths.evaluation(*result)) for result in results]
                for column, results in cells.items()
            },
        )
        for title, cells in plan.evaluations.table_rows(name)
    ]
    table = published_table.TableSpec(
        name=name,
        title=described.title,
        source=described.source,
        metrics=described.metrics,
        rows=rows,
        published=settings.TABLES / "published.csv",
    )
    chosen = narrowed(plan, name)
    outputs = Outputs(plan)
    output = outputs.table(name)
    made_of = outputs.record(output)
    written = published_table.write(table, report_spec(chosen, described.title), TABLES)
    note(output.path, made_of)
    return written


def _all_results(plan: Plan) -> list[Path]:
    from expressway.reporting import results
    from expressway.reporting import results_table as plain

    evaluations = [Path(path) for path in plan.evaluations.all_folders()]
    written = plain.write("results", plan.settings.report.title, evaluations, TABLES)
    metrics = {
        f"{row.model}/{row.evaluation}": {m: v.pooled for m, v in row.measures.items()}
        for row in results.summarise(evaluations)
    }
    write_json(TABLES / "metrics.json", metrics)
    outputs = Outputs(plan)
    output = outputs.results_table()
    note(output.path, outputs.record(output))
    return [*written, TABLES / "metrics.json"]
