"""Attention windows as film strips: where CLIP finds a clip most like one of the classes."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from expressway.core.manifest import Clip
from expressway.core.store import Store
from expressway.reporting.drawing.filmstrips import FRAMES, evenly, lot, thumbnail
from expressway.reporting.open_dataset import OpenDataset

SHOWN = 4


@dataclass(frozen=True)
class Look:
    """One clip with the window of the class that CLIP finds most similar."""

    clip: Clip
    nearest: str
    film: Sequence[Markup]


def looks(dataset: OpenDataset, thumbnails: bool) -> list[Look]:
    """A few clips with their windows, drawn by a hash of their ids; none without a store."""
    store = dataset.first("attention")
    if store is None or not thumbnails:
        return []
    faces = faces_of(dataset, store)
    usable = [clip for clip in dataset.clips if store.usable(clip.id) and faces.usable(clip.id)]
    drawn = sorted(usable, key=lambda clip: lot(clip.id))[:SHOWN]
    return [
        Look(clip, nearest(store, clip.id), window_film(faces, store, clip.id)) for clip in drawn
    ]


def faces_of(dataset: OpenDataset, attention: Store) -> Store:
    """The faces that the windows were found on."""
    variant = attention.readers[0].footer.get("config", {}).get("faces")
    return dataset.stores.get(("faces", variant)) or Store([])


def nearest(attention: Store, clip_id: str) -> str:
    """The class that a clip is most similar to."""
    row = attention.row(clip_id, ("labels", "scores"))
    return str(row["labels"][int(np.argmax(row["scores"]))])


def window_film(faces: Store, attention: Store, clip_id: str) -> list[Markup]:
    """Aligned faces of a clip with the window of the class that CLIP finds most similar."""
    if not faces.usable(clip_id):
        return []
    row, found = faces.row(clip_id), attention.row(clip_id)
    side = int(found["image_size"])
    middle = found["windows"][int(np.argmax(found["scores"]))]
    chosen = evenly(len(row["source_index"]), FRAMES)
    marks = [_window(row["crops"][i], middle, side) for i in chosen]
    labels = [f"window at {float(row['time'][i]):.2f} s" for i in chosen]
    crops = (row["crops"][i] for i in chosen)
    return [thumbnail(*each) for each in zip(crops, labels, marks, strict=True)]


def _window(crop: bytes, middle: npt.NDArray[np.int16], side: int) -> Markup:
    """The window, a quarter of the side wide, in the crop's own pixels."""
    from PIL import Image

    with Image.open(io.BytesIO(crop)) as image:
        across, down = image.width / side, image.height / side
    width, height = side / 4 * across, side / 4 * down
    left, top = float(middle[1]) * across - width / 2, float(middle[0]) * down - height / 2
    rect = Markup('<rect class="box" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
    return rect.format(left, top, width, height)
