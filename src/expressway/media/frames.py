"""Decoded frames of a clip as encoded images, with facts of the source."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from expressway.core.errors import RowFailure


@dataclass(frozen=True)
class Settings:
    """How clips are decoded.

    Attributes:
        rate: kept frames per second of display time; None keeps every frame.
        maximum: largest number of frames kept, evenly spaced; None sets no limit.
        quality: of our JPEGs, 4:4:4.
        timeout: seconds for one clip.
        max_pixels: largest picture that is decoded.
        folder_rate: frames per second that folders of frames are taken to have.
        folder_sort: order of their names; natural: 2.png before 10.png.
        threads: decoder threads; more than one may change what damaged videos decode to.
    """

    rate: float | None = None
    maximum: int | None = None
    quality: int = 95
    timeout: float = 600.0
    max_pixels: int = 64_000_000
    folder_rate: float = 25.0
    folder_sort: Literal["natural", "lexicographic"] = "natural"
    threads: int = 1


@dataclass(frozen=True)
class Frames:
    """The kept frames of one clip.

    Attributes:
        width, height: pixels of the upright picture.
        fps, duration: of the source video; None for images.
        declared: frames that the container says lie within the clip; None where it cannot say.
        decoded: frames within the clip that were decoded, kept or not.
        errors: error lines of the decoder.
        rotation: degrees counter-clockwise, 0 to 359, already applied.
        source_index: (kept,) place of each frame in the source video.
        time: (kept,) seconds from the first frame of the source video.
        images: (kept) JPEG bytes, or the source's own bytes where it ships images.
        damage: what is wrong, in one sentence; None for a clip without fault.
    """

    width: int
    height: int
    fps: float | None
    duration: float | None
    declared: int | None
    decoded: int
    errors: int
    rotation: int
    codec: str
    container: str
    source_index: NDArray[np.int32]
    time: NDArray[np.float64]
    images: Sequence[bytes]
    damage: str | None = None


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Refuse pictures that would fill the memory.

    Raises:
        RowFailure: ``unreadable``.
    """
    if width * height > max_pixels:
        raise RowFailure(
            "unreadable",
            f"{width}x{height} pixels are more than the {max_pixels} that max_pixels allows",
        )


def encode_jpeg(rgb: NDArray[np.uint8], quality: int) -> bytes:
    """Return an RGB image (height, width, 3) as a JPEG without chroma subsampling.

    Raises:
        RowFailure: ``unreadable``: the picture has a size that JPEG cannot hold.
    """
    cv2 = _opencv()
    return encode_bgr(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), quality)


def encode_bgr(bgr: NDArray[np.uint8], quality: int) -> bytes:
    """Return an image with blue first (height, width, 3) as ``encode_jpeg`` does."""
    cv2 = _opencv()
    parameters = [
        *(cv2.IMWRITE_JPEG_QUALITY, quality),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ]
    try:
        _, encoded = cv2.imencode(".jpg", bgr, parameters)
    except cv2.error as error:
        height, width = bgr.shape[:2]
        raise RowFailure("unreadable", f"{width}x{height} does not fit a JPEG: {error}") from error
    return bytes(encoded)


def _opencv() -> Any:
    import cv2

    # Rows are spread over processes; threads inside one would fight for the same cores.
    cv2.setNumThreads(1)
    return cv2
