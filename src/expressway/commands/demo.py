"""The demo world: faces that we render."""

from pathlib import Path
from typing import Annotated

import typer

from expressway.commands._options import CONFIG, ConfigOption, load_plan
from expressway.core.errors import ConfigError
from expressway.planning.outputs import Outputs
from expressway.planning.plan import Plan
from expressway.planning.records import MADE_OF

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.command("create")
def create(
    out: Annotated[Path, typer.Option(help="folder to write")],
    clips: Annotated[int, typer.Option(help="number of clips")] = 440,
    seed: Annotated[int, typer.Option(help="seed of the world")] = 1,
    stills: Annotated[int, typer.Option(help="number of unlabelled stills")] = 0,
) -> None:
    """Make another world: manifest, splits, rendered clips and their ground truth."""
    from expressway.data import demo

    demo.create(out, clips, seed, stills)


@app.command("render")
def render_command(
    dataset: Annotated[str, typer.Option(help="a data set with a demo_seed")],
    shard: Annotated[str, typer.Option(help="shard, such as 00000")],
    cores: Annotated[int, typer.Option(help="worker processes")] = 1,
    config: ConfigOption = CONFIG,
) -> None:
    """Render the clips of one shard, as the workflow's jobs do."""
    render(load_plan(config), dataset, shard, cores)


@app.command("train-backbone")
def train_backbone(
    out: Annotated[Path, typer.Option(help="folder to write")] = Path("data/demo/backbone"),
    seed: Annotated[int, typer.Option(help="training seed")] = 0,
) -> None:
    """Train the demo's tiny CLIP on identities that occur in no demo clip."""
    from expressway.data import demo

    demo.train_backbone(out, seed)


def render(plan: Plan, dataset: str, shard: str, cores: int) -> None:
    """Render the clips of one shard of a demo world.

    Raises:
        ConfigError: the data set is not rendered by us.
    """
    from expressway.data import demo

    data, outputs = plan.dataset(dataset), Outputs(plan)
    if data.config.demo_seed is None:
        raise ConfigError(f"{dataset} has no demo_seed: its clips are files of yours")
    output = outputs.clips(dataset, shard)
    made_of = {MADE_OF: outputs.record(output)}
    clips, seed = data.rows(shard), data.config.demo_seed
    demo.render_clips(clips, seed, data.root, Path(output.path), cores, made_of)
