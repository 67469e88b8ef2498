"""The images of a clip as tensors: only the frames that were chosen are decoded."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from expressway.data.clips import Rows
from expressway.data.sampling import Indices, nearest
from expressway.faces.overlays import landmark_image, parsing_image
from expressway.faces.parsing import decode_mask
from expressway.faces.pictures import decode


def chosen_frames(row: Mapping[str, Any], positions: Indices) -> Tensor:
    """Return crops of a row of ``faces`` as uint8 ``(frames, 3, height, width)`` RGB.

    Args:
        row: a row with the column ``crops``.
        positions: (frames,) which of its frames; one that is asked for twice is decoded once.

    Raises:
        RowFailure: a crop cannot be decoded.
    """
    wanted, places = np.unique(positions, return_inverse=True)
    images = [decode(row["crops"][index], int(index)) for index in wanted]
    return as_tensor(np.stack(images)[places])


def as_tensor(images: NDArray[np.uint8]) -> Tensor:
    """Return ``(frames, height, width, 3)`` as ``(frames, 3, height, width)``.

    The bytes stay where they are: colours of a pixel side by side are resized three times faster.
    """
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def image_streams(rows: Rows, positions: Indices, names: Sequence[str]) -> dict[str, Tensor]:
    """Return image streams of chosen frames, each uint8 ``(frames, 3, height, width)``.

    A frame whose parsing or landmarks are not valid shows the nearest frame where they are; a
    stream without any is left out.

    Args:
        rows: rows of ``faces`` and, where asked for and there, ``parsing`` and ``landmarks``.
        positions: (frames,) which of the clip's frames.
        names: among ``frames``, ``parsing``, ``landmarks``.

    Raises:
        RowFailure: an image cannot be decoded, or a label map does not fit its crop.
    """
    places = {
        name: positions if name == "frames" else _held(rows, name, positions) for name in names
    }
    there = {name: found for name, found in places.items() if len(found)}
    wanted = {index for found in there.values() for index in found.tolist()}
    images = {index: decode(rows["faces"]["crops"][index], index) for index in wanted}
    return {
        name: as_tensor(np.stack([_drawn(rows, name, images[i], i) for i in found.tolist()]))
        for name, found in there.items()
    }


def _held(rows: Rows, name: str, positions: Indices) -> Indices:
    """Return for each position the nearest one that is valid; nothing where there is none."""
    valid = np.flatnonzero(rows[name]["valid"]) if name in rows else np.zeros(0, np.int64)
    if not len(valid):
        return valid
    return valid[nearest(valid, positions)]


def _drawn(rows: Rows, name: str, image: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
    if name == "parsing":
        return parsing_image(image, decode_mask(rows[name]["masks"][index]))
    return landmark_image(image, rows[name]["points"][index]) if name == "landmarks" else image
