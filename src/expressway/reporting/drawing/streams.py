"""FineCLIPER's image streams of a clip as film strips: its faces, their parsing, their points."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from expressway.core.errors import RowFailure
from expressway.core.store import Store
from expressway.faces import overlays
from expressway.reporting.drawing.filmstrips import FRAMES, drawn_thumbnail, evenly
from expressway.reporting.open_dataset import OpenDataset

Films = Mapping[str, Sequence[Markup]]


def films(dataset: OpenDataset, clip_id: str) -> Films:
    """Stream name -> thumbnails at the same moments; nothing where the clip has no parsing.

    Parsing and landmarks are those of one faces variant: label maps and points of another
    variant would lie beside the face.
    """
    for (stage, variant), faces in dataset.stores.items():
        if stage == "faces" and faces.usable(clip_id):
            row = faces.row(clip_id, ("source_index", "time", "crops"))
            masks = _rows_beside(dataset, "parsing", variant, clip_id, "masks")
            points = _rows_beside(dataset, "landmarks", variant, clip_id, "points")
            if masks:
                return _films(row, masks, points)
    return {}


def _rows_beside(
    dataset: OpenDataset, stage: str, faces: str, clip_id: str, column: str
) -> dict[int, Any]:
    """Source index -> value of the first store that was made from a faces variant."""
    for store in _made_from(dataset, stage, faces):
        if store.usable(clip_id):
            row = store.row(clip_id, ("source_index", column))
            return dict(zip(row["source_index"].tolist(), row[column], strict=True))
    return {}


def _made_from(dataset: OpenDataset, stage: str, faces: str) -> Iterator[Store]:
    for (name, _), store in dataset.stores.items():
        if name == stage and store.readers:
            config = store.readers[0].footer.get("config", {})
            if config.get("faces") == faces:
                yield store


def _films(
    faces: Mapping[str, Any], masks: Mapping[int, Any], points: Mapping[int, Any]
) -> dict[str, list[Markup]]:
    import numpy as np

    indices = faces["source_index"].tolist()
    shared = [i for i, at in enumerate(indices) if at in masks and (not points or at in points)]
    chosen = [shared[place] for place in evenly(len(shared), FRAMES)]
    if not chosen:
        return {}
    placed = np.stack([points[indices[i]] for i in chosen]) if points else None
    try:
        streams = overlays.streams(
            [faces["crops"][i] for i in chosen], [masks[indices[i]] for i in chosen], placed
        )
    except RowFailure:
        # A label map that does not fit its face is the parsing's trouble, not the report's.
        return {}
    return {
        name: [
            drawn_thumbnail(image, f"{name} at {float(faces['time'][i]):.2f} s")
            for i, image in zip(chosen, images, strict=True)
        ]
        for name, images in streams.items()
    }
