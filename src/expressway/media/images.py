"""Decode still images and folders of frames; their own bytes stay where readers agree."""

import io
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from expressway.core.errors import RowFailure
from expressway.core.fingerprints import is_frame
from expressway.media import sampling
from expressway.media.frames import Frames, Settings, check_pixels, encode_jpeg

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM", "GIF")
KEPT_FORMATS = frozenset({"JPEG", "PNG"})
KEPT_MODES = frozenset({"RGB", "L"})
ORIENTATION = 0x0112
TURNS = {1: 0, 2: 0, 3: 180, 4: 180, 5: 270, 6: 270, 7: 90, 8: 90}


@dataclass(frozen=True)
class Still:
    """One image: bytes that decode to ``width`` x ``height`` upright pixels."""

    data: bytes
    width: int
    height: int
    rotation: int
    format: str


def still(path: Path, settings: Settings) -> Still:
    """Return an image; its own bytes if they are an upright 8-bit JPEG or PNG, else a JPEG.

    Raises:
        RowFailure: ``unreadable``: not an image, truncated, or larger than ``max_pixels``.
    """
    from PIL import Image, UnidentifiedImageError

    if path.exists() and not path.is_file():
        raise RowFailure("unreadable", f"{path.name}: expected an image file, found something else")
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_pixels(image.width, image.height, settings.max_pixels)
            return _read(image, data, settings)
    except UnidentifiedImageError:
        raise RowFailure("unreadable", f"{path.name}: not an image of a known format") from None
    except Image.DecompressionBombError as error:
        raise RowFailure("unreadable", f"{path.name}: {error}") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise RowFailure("unreadable", f"{path.name}: {error}") from error


def _read(image: Any, data: bytes, settings: Settings) -> Still:
    from PIL import ImageOps

    image.load()
    orientation = image.getexif().get(ORIENTATION, 1)
    upright = orientation in (0, 1)
    turned = image if upright else ImageOps.exif_transpose(image)
    rotation = TURNS.get(orientation, 0)
    if upright and image.format in KEPT_FORMATS and image.mode in KEPT_MODES:
        kept = data
    else:
        kept = encode_jpeg(_rgb(turned), settings.quality)
    return Still(kept, turned.width, turned.height, rotation, str(image.format))


def _rgb(image: Any) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Return 8-bit RGB (height, width, 3); transparency is dropped, 16-bit grey is scaled."""
    if image.mode.startswith("I;16") or image.mode == "I":
        deep = np.asarray(image).astype(np.float64) / 257.0
        grey = np.clip(np.round(deep), 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.asarray(image.convert("RGBA" if image.mode == "P" else "RGB").convert("RGB"))


def decode_image(path: Path, settings: Settings) -> Frames:
    """Return a still image as a clip of one frame at time 0.

    Raises:
        RowFailure: ``unreadable``.
    """
    image = still(path, settings)
    return _frames([image], np.zeros(1, np.int32), None, settings, None)


def decode_folder(path: Path, start: float | None, end: float | None, settings: Settings) -> Frames:
    """Return the kept frames of a folder of images, in the order of their names.

    Files that are no images by name are passed over; an image that cannot be read is missing from
    the frames and told in ``damage``.

    Raises:
        RowFailure: ``unreadable``: no folder, no image in it, or none in the stretch.
    """
    files = listed(path)
    if settings.folder_sort == "lexicographic":
        files.sort()
    times = np.arange(len(files)) / settings.folder_rate
    low = start or 0.0
    inside = times >= low - sampling.TOLERANCE
    if end is not None:
        inside &= times < end - sampling.TOLERANCE
    places = np.flatnonzero(inside)
    length = None if end is None else end - low
    chosen = sampling.choose(times[places] - low, settings.rate, settings.maximum, length)
    images, indices, faults = [], [], []
    for place in places[chosen]:
        try:
            images.append(still(files[place], settings))
            indices.append(place)
        except RowFailure as error:
            faults.append(str(error))
    if not images:
        raise RowFailure(
            "unreadable", faults[0] if faults else "no image in this folder or stretch"
        )
    decoded = len(places) - len(faults)
    damage = f"decoded {decoded} of {len(places)} frames: {faults[0]}" if faults else None
    rate = settings.folder_rate
    found = _frames(images, np.array(indices, np.int32), rate, settings, damage)
    return _counted(found, len(places), decoded, len(faults), len(files) / rate)


def listed(folder: Path) -> list[Path]:
    """Return the images of a folder in natural order: ``2.png`` before ``10.png``.

    Raises:
        RowFailure: ``unreadable``: not a folder.
    """
    if not folder.is_dir():
        raise RowFailure("unreadable", "expected a folder of frames, found none at this path")
    files = (file for file in folder.iterdir() if not file.name.startswith("."))
    images = [file for file in files if is_frame(file.name) and file.is_file()]
    return sorted(images, key=lambda file: natural(file.name))


def natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a sort key by which runs of digits compare as numbers."""
    parts = re.findall(r"([0-9]+)|([^0-9]+)", name)
    return [(0, int(digits), "") if digits else (1, 0, text) for digits, text in parts], name


def _frames(
    images: list[Still],
    indices: "np.ndarray[Any, np.dtype[np.int32]]",
    rate: float | None,
    settings: Settings,
    damage: str | None,
) -> Frames:
    first = images[0]
    return Frames(
        width=first.width,
        height=first.height,
        fps=rate,
        duration=None,
        declared=len(images),
        decoded=len(images),
        errors=0,
        rotation=first.rotation,
        codec=first.format.lower(),
        container="image" if rate is None else "folder",
        source_index=indices,
        time=indices / (rate or 1.0),
        images=[image.data for image in images],
        damage=damage,
    )


def _counted(frames: Frames, declared: int, decoded: int, errors: int, duration: float) -> Frames:
    return replace(frames, declared=declared, decoded=decoded, errors=errors, duration=duration)
