"""Write the page of one clip: what every stage made of it and every model said."""

from pathlib import Path
from typing import Annotated

import typer

from expressway.commands._options import CONFIG, ConfigOption, load_plan
from expressway.commands._pages import report_dataset
from expressway.core.errors import ConfigError
from expressway.planning.plan import Plan


def command(
    clip: Annotated[str, typer.Argument(help="id of a clip")],
    dataset: Annotated[str | None, typer.Option(help="its data set, where several have it")] = None,
    out: Annotated[Path | None, typer.Option(help="HTML file to write")] = None,
    config: ConfigOption = CONFIG,
) -> None:
    """Write the page of one clip: what every stage made of it and every model said."""
    print(inspect(load_plan(config), dataset, clip, out))


def inspect(plan: Plan, dataset: str | None, clip: str, out: Path | None) -> Path:
    """Write the page of one clip: what every stage and every model made of it; return the file.

    Raises:
        ConfigError: no data set has the clip, or several have it and none was named.
    """
    from expressway.reporting import clip_page

    name = dataset or _dataset_of(plan, clip)
    evaluations = [Path(path) for path in plan.evaluations.all_folders()]
    target = out or Path(f"results/{name}/clips/{clip}.html")
    return clip_page.build(report_dataset(plan, name), clip, evaluations, target)


def _dataset_of(plan: Plan, clip: str) -> str:
    """Return the configured data set that has a clip; one alone answers for itself."""
    names = list(plan.settings.datasets)
    if len(names) > 1:
        names = [n for n in names if any(c.id == clip for c in plan.dataset(n).clips)]
    if len(names) != 1:
        found = f"is in {', '.join(names)}" if names else "is in no data set of the configuration"
        raise ConfigError(f"clip {clip!r} {found}; name its data set with --dataset")
    return names[0]
