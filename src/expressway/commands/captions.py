"""Captions: look before you train on them."""

from pathlib import Path
from typing import Annotated

import typer

from expressway.commands._options import CONFIG, ConfigOption, load_plan
from expressway.commands._pages import folds, report_dataset
from expressway.planning.plan import Plan

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.command("audit")
def audit(
    dataset: Annotated[str, typer.Option(help="data set")],
    variant: Annotated[str, typer.Option(help="variant of captions")],
    out: Annotated[Path | None, typer.Option(help="HTML file to write")] = None,
    clips: Annotated[int, typer.Option(help="clips to show")] = 24,
    seed: Annotated[int, typer.Option(help="which clips are drawn")] = 0,
    task: Annotated[str, typer.Option(help="label that captions should not give away")] = "emotion",
    scheme: Annotated[str, typer.Option(help="split scheme of the leak audit")] = "folds",
    config: ConfigOption = CONFIG,
) -> None:
    """Write a page of random clips with film strip, raw and refined caption, and the leak audit."""
    print(audit_captions(load_plan(config), dataset, variant, out, clips, seed, task, scheme))


def audit_captions(
    plan: Plan,
    dataset: str,
    variant: str,
    out: Path | None,
    clips: int,
    seed: int,
    task: str,
    scheme: str,
) -> Path:
    """Write the page on which a person checks captions; return the file."""
    from expressway.reporting.captions_page import AuditSpec, build

    chosen = folds(plan, dataset, scheme)
    shown, thumbnails = report_dataset(plan, dataset), plan.settings.report.thumbnails
    spec = AuditSpec(shown, variant, task, chosen, clips, seed, thumbnails)
    return build(spec, out or Path(f"results/{dataset}/captions/{variant}/audit.html"))
