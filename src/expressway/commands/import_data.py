"""Make or extend a data set from files on disk."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from expressway.data.importers import IMAGES, OFFICIAL

app = typer.Typer(
    help="Make or extend a data set from files on disk.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

NameOption = Annotated[str, typer.Option("--name", help="name of the data set")]
SegmentOption = Annotated[
    float | None, typer.Option(help="cut recordings into clips of so many seconds")
]
ShardOption = Annotated[int, typer.Option(help="clips per shard (a new data set only)")]
RootOption = Annotated[Path, typer.Option(help="folder of the data set")]
MediaOption = Annotated[
    str | None, typer.Option(help="folder below the root that holds the clips, if not the first")
]


def _imported(name: str, found: Any, shard_size: int) -> None:
    from expressway.data.importers.write import write

    for line in found.warnings:
        print(f"warning: {line}", file=sys.stderr)
    done = write(name, found, shard_size)
    for line in found.notes:
        print(line)
    print(f"{done.added} clip(s) added, {done.kept} stood there already: {done.manifest}")
    if done.splits:
        print(f"splits: {done.splits}")
    print(f"data set: {done.config}")
    print(f"next: snakemake --cores all results/{name}/report/index.html")


@app.command("folder")
def import_folder(
    folder: Annotated[Path, typer.Argument(help="folder with videos, images or frame folders")],
    name: NameOption,
    kind: Annotated[
        Literal["video", "frames", "image"], typer.Option(help="what a clip is")
    ] = "video",
    label: Annotated[
        str | None, typer.Option(help="label column to fill from the parent folders' names")
    ] = None,
    segment: SegmentOption = None,
    shard_size: ShardOption = 256,
) -> None:
    """Every video (image, folder of frames) below a folder becomes a clip."""
    from expressway.data.importers import folder as importer

    _imported(name, importer.scan(folder, kind, label, segment), shard_size)


@app.command("table")
def import_table(
    file: Annotated[Path, typer.Argument(help="CSV file with a column path")],
    name: NameOption,
    root: Annotated[
        Path | None, typer.Option(help="folder of the paths; default: the file's")
    ] = None,
    label: Annotated[list[str], typer.Option(help="a label column")] = [],  # noqa: B006
    target: Annotated[list[str], typer.Option(help="a column with numbers")] = [],  # noqa: B006
    segment: SegmentOption = None,
    shard_size: ShardOption = 256,
) -> None:
    """Every row of a CSV file becomes a clip; labels, captions and parts are taken over."""
    from expressway.data.importers import table as importer

    _imported(name, importer.scan(file, root, label, target, segment), shard_size)


@app.command("list")
def import_list(
    files: Annotated[list[Path], typer.Argument(help="lists, such as DFEW_set_1_train.txt")],
    root: Annotated[Path, typer.Option(help="folder of the clips")],
    name: NameOption,
    rewrite: Annotated[
        list[str],
        typer.Option(help="OLD=NEW: beginning of the listed folders, folder below the root"),
    ] = [],  # noqa: B006
    shard_size: ShardOption = 256,
) -> None:
    """Lists as DFER-CLIP and Exp-CLIP ship them: folder, frames and class per line."""
    from expressway.data.importers import list_files as importer

    _imported(name, importer.scan(files, root, rewrite), shard_size)


@app.command("mafw", help=OFFICIAL["mafw"])
def import_mafw(
    root: RootOption,
    name: NameOption = "mafw",
    media: MediaOption = None,
    hesp: Annotated[
        list[Path], typer.Option(help="HESP's lists, train and test, for its 5,110 clips")
    ] = [],  # noqa: B006
    shard_size: ShardOption = 256,
) -> None:
    """Read MAFW as its owners ship it."""
    from expressway.data.importers import mafw as importer

    _imported(name, importer.scan(root, media, hesp), shard_size)


def _command(dataset: str) -> Callable[..., None]:
    def command(
        root: RootOption,
        name: NameOption = dataset,
        media: MediaOption = None,
        shard_size: ShardOption = 4096 if dataset in IMAGES else 256,
    ) -> None:
        importer = import_module(f"expressway.data.importers.{dataset}")
        _imported(name, importer.scan(root, media), shard_size)

    return command


for _dataset, _help in OFFICIAL.items():
    if _dataset != "mafw":
        app.command(_dataset, help=_help)(_command(_dataset))
