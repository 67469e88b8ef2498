"""Encoded images of a clip, decoded on demand and cached while they are few."""

from collections.abc import Iterator, Sequence

import numpy as np

from expressway.core.errors import RowFailure
from expressway.faces.align import Image

# Two passes go over a clip, one to detect and one to cut. Decoding a long clip twice costs less
# than the memory that all its frames take: 10 000 frames of 720p are 28 GB.
CACHE_BYTES = 256 << 20


def decode(data: bytes, index: int | None = None) -> Image:
    """Return an encoded image as RGB ``(height, width, 3)``; safe to call from threads.

    Args:
        index: which frame it is, where the error can name it.

    Raises:
        RowFailure: ``unreadable``: the bytes are no image.
    """
    import cv2

    buffer = np.frombuffer(data, np.uint8)
    image = cv2.imdecode(buffer, cv2.IMREAD_COLOR_RGB) if len(buffer) else None
    if image is None and index is None:
        raise RowFailure("unreadable", f"an image of {len(data)} bytes cannot be decoded")
    if image is None:
        raise RowFailure("unreadable", f"frame {index}: {len(data)} bytes that are no image")
    return np.asarray(image, np.uint8)


class Pictures:
    """The images of a clip as a sequence of RGB arrays.

    Attributes:
        data: the encoded images.
    """

    def __init__(self, data: Sequence[bytes]) -> None:
        self.data = data
        self._sizes: dict[int, tuple[int, int]] = {}
        self._kept: dict[int, Image] = {}
        self._free = CACHE_BYTES

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Image]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Image:
        if index in self._kept:
            return self._kept[index]
        image = decode(self.data[index], index)
        height, width = image.shape[:2]
        self._sizes[index] = (height, width)
        if image.nbytes <= self._free:
            self._kept[index] = image
            self._free -= image.nbytes
        return image

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of every image."""
        missing = set(range(len(self))) - set(self._sizes)
        for index in missing:
            self[index]
        return [self._sizes[index] for index in range(len(self))]
