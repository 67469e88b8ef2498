"""The demo world: faces driven by facial action units, with the truth known for every frame."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from expressway.core.manifest import Clip

DEFAULT_SEED = 2026
DEFAULT_CLIPS = 440
DEFAULT_STILLS = 512


def create(out: Path, clips: int, seed: int, stills: int = 0) -> None:
    """Make a world: manifest, splits, rendered clips and their truth.

    Args:
        out: the data set's folder; stills go into a folder beside it, named `{out}_stills`.
        clips: number of clips; clip i is the same in a world of any size.
        seed: the world's seed.
        stills: number of unlabelled still images.
    """
    from expressway.data.demo import render, tables, world

    tables.write_manifest(out, clips, seed)
    ids = [world.clip_id(number) for number in range(clips)]
    render.render_clips(ids, seed, out, out / "clips" / "00000.truth.parquet")
    if stills:
        beside = out.with_name(f"{out.name}_stills")
        tables.write_stills_manifest(beside, stills)
        ids = [world.still_id(number) for number in range(stills)]
        render.render_clips(ids, seed, beside, beside / "clips" / "00000.truth.parquet")


def write_manifest(out: Path, clips: int, seed: int) -> None:
    """Write `manifest.csv` and `splits.csv` of a world, rendering nothing."""
    from expressway.data.demo import tables

    tables.write_manifest(out, clips, seed)


def write_stills_manifest(out: Path, stills: int) -> None:
    """Write `manifest.csv` of a world's unlabelled stills, rendering nothing."""
    from expressway.data.demo import tables

    tables.write_stills_manifest(out, stills)


def render_clips(
    rows: "Iterable[Clip | str]",
    seed: int,
    root: Path,
    truth: Path,
    workers: int = 1,
    footer: Mapping[str, Any] | None = None,
) -> None:
    """Render one shard of a world; see `expressway.data.demo.render.render_clips`."""
    from expressway.data.demo import render

    render.render_clips(rows, seed, root, truth, workers, footer)


def train_backbone(out: Path, seed: int) -> None:
    """Train the demo's tiny CLIP; see `expressway.data.demo.backbone.train_backbone`."""
    from expressway.data.demo import backbone

    backbone.train_backbone(out, seed)
