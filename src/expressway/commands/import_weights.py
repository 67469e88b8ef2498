"""Read a published checkpoint into a model folder that evaluations load."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    method: Annotated[str, typer.Argument(help="emoclip, downstream, expclip, hesp")],
    file: Annotated[Path, typer.Argument(help="a release's checkpoint (.pth or .safetensors)")],
    out: Annotated[Path, typer.Option(help="model folder to write")],
    backbone: Annotated[
        str | None,
        typer.Option(help="frozen CLIP, such as ViT-B-32/openai; default: the file's own"),
    ] = None,
) -> None:
    """Read a published checkpoint into a model folder that evaluations load."""
    from expressway.methods.releases import import_weights

    print(import_weights(method, file, out, backbone))
