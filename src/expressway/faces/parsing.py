"""Face parsing: the eleven classes, label maps as PNG, and what every parser has in common.

A label map is 8-bit, one channel, as large as its crop, and holds the index of a class per pixel.
Order and meaning are FaceXFormer's; left and right are as seen in the image.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from expressway.core.errors import RowFailure
from expressway.faces.align import FloatArray

Mask = NDArray[np.uint8]

CLASSES: tuple[str, ...] = (
    "background",
    "skin",
    "left_brow",
    "right_brow",
    "left_eye",
    "right_eye",
    "nose",
    "upper_lip",
    "inner_mouth",
    "lower_lip",
    "hair",
)
INDEX: Mapping[str, int] = {name: index for index, name in enumerate(CLASSES)}

# Label maps are runs of equal bytes: with run lengths alone PNG is a third smaller than at its
# default, and no other setting is faster.
PNG_STRATEGY_RLE = 3


@dataclass(frozen=True)
class Portrait:
    """The crops of one clip, as the stores ``faces`` and ``landmarks`` have them.

    Attributes:
        clip_id: id of the clip.
        crops: encoded images, one per frame.
        source_index: ``(frames,)`` number of each frame in the source.
        points: ``(frames, 68, 2)`` in pixels of the crop, for parsers that need landmarks.
        mesh: ``(frames, 478, 3)``, or no frames where the detector has no mesh.
    """

    clip_id: str
    crops: Sequence[bytes]
    source_index: NDArray[np.int32]
    points: FloatArray | None = None
    mesh: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.crops)


class Parser(Protocol):
    """What turns face crops into label maps.

    Attributes:
        missing_classes: names of the classes that this parser never gives.
    """

    missing_classes: tuple[str, ...]

    def masks(self, portraits: Sequence[Portrait]) -> Iterable[Mask]:
        """Yield the label map ``(height, width)`` of every frame of every portrait, in order.

        Raises:
            RowFailure: a portrait cannot be parsed.
        """
        ...


def encode_mask(mask: Mask) -> bytes:
    """Return a label map as an 8-bit PNG with one channel."""
    import cv2

    done, data = cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_STRATEGY, PNG_STRATEGY_RLE])
    if not done:
        raise RowFailure("invalid", f"a label map {mask.shape} could not be encoded as PNG")
    return bytes(data.tobytes())


def decode_mask(data: bytes) -> Mask:
    """Return the label map ``(height, width)`` of a PNG that ``encode_mask`` made.

    Raises:
        RowFailure: ``unreadable``: the bytes are no image.
    """
    import cv2

    buffer = np.frombuffer(data, np.uint8)
    mask = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED) if len(buffer) else None
    if mask is None or mask.ndim != 2:
        raise RowFailure("unreadable", f"{len(data)} bytes that are no label map")
    return np.asarray(mask, np.uint8)


def crop_size(data: bytes, index: int) -> tuple[int, int]:
    """Return ``(height, width)`` of an encoded crop from its header, without decoding it.

    Raises:
        RowFailure: ``unreadable``: the bytes are no image.
    """
    import io

    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.height, image.width
    except (UnidentifiedImageError, OSError) as error:
        raise RowFailure(
            "unreadable", f"frame {index}: {len(data)} bytes that are no image"
        ) from error


def frames_of(portraits: Sequence[Portrait]) -> Iterator[tuple[Portrait, int]]:
    """Yield ``(portrait, frame)`` for every frame of every portrait, in order."""
    for portrait in portraits:
        for frame in range(len(portrait)):
            yield portrait, frame
