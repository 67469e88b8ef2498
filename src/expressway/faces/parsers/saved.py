"""Parsing that another program has done and saved, FaceXFormer above all.

``FOLDER/CLIP_ID/INDEX.png`` (or ``.npy``), INDEX being the frame's ``source_index``;
``FOLDER/CLIP_ID/INDEX/parsing.png``, as FaceXFormer's own script names its result; or all frames
of a clip in the order of the store as ``FOLDER/CLIP_ID.npy`` ``(frames, height, width)``.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from expressway.core.errors import ConfigError, RowFailure
from expressway.core.manifest import contained
from expressway.faces.parsing import CLASSES, Mask, Portrait, crop_size

RESULT_NAME = "parsing.png"
SHOWN = 5
Size = tuple[int, int]


class SavedParser:
    """Label maps from a folder, checked against the crops they belong to."""

    missing_classes: tuple[str, ...] = ()

    def __init__(self, folder: str) -> None:
        """Take a folder of label maps.

        Raises:
            ConfigError: there is no such folder.
        """
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ConfigError(
                f"parsing: no folder {folder}; expected label maps as FOLDER/CLIP_ID/INDEX.png "
                "(docs/parsing.md)"
            )

    def masks(self, portraits: Sequence[Portrait]) -> Iterator[Mask]:
        """Yield the label map ``(height, width)`` of every frame of every portrait, in order.

        Raises:
            RowFailure: ``invalid``: a label map is missing, of another size, or holds labels that
                are none of the eleven; ``unreadable``: a file is damaged.
        """
        for portrait in portraits:
            for frame, read in enumerate(self._readers(portrait)):
                yield read(crop_size(portrait.crops[frame], frame))

    def _readers(self, portrait: Portrait) -> list[Callable[[Size], Mask]]:
        """Return for every frame the function that reads its label map."""
        together = contained(self.folder, f"{portrait.clip_id}.npy", follow_symlinks=True)
        if together.is_file():
            return _from_stack(together, len(portrait))
        folder = contained(self.folder, portrait.clip_id, follow_symlinks=True)
        indices = np.asarray(portrait.source_index).tolist()
        found = _by_index(folder) if folder.is_dir() else {}
        missing = [index for index in indices if index not in found]
        if missing:
            raise RowFailure("invalid", _what_is_missing(folder, missing, len(indices)))
        return [partial(read_mask, found[index]) for index in indices]


def _by_index(folder: Path) -> dict[int, Path]:
    """Return source index -> file of the label maps in a clip's folder."""
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        file = path / RESULT_NAME if path.is_dir() else path
        if path.stem.isdecimal() and file.suffix.lower() in (".png", ".npy") and file.is_file():
            found[int(path.stem)] = file
    return found


def _what_is_missing(folder: Path, missing: Sequence[int], frames: int) -> str:
    shown = ", ".join(str(index) for index in missing[:SHOWN])
    more = ", …" if len(missing) > SHOWN else ""
    return (
        f"{folder}: no label map for {len(missing)} of {frames} frames (source index {shown}"
        f"{more}); expected INDEX.png, INDEX.npy or INDEX/{RESULT_NAME} there, or {folder}.npy"
    )


def _from_stack(path: Path, frames: int) -> list[Callable[[Size], Mask]]:
    stack = _array(path)
    if stack.ndim != 3 or len(stack) != frames:
        raise RowFailure(
            "invalid", f"{path}: shape {stack.shape}, expected ({frames}, height, width)"
        )
    return [partial(_checked, stack[frame], f"{path}[{frame}]") for frame in range(frames)]


def read_mask(path: Path, size: Size) -> Mask:
    """Return the label map in a PNG (8 bit, grey or indexed) or ``.npy`` file.

    Raises:
        RowFailure: ``invalid``: not of ``size`` (height, width), or no label map of the eleven
            classes; ``unreadable``: a damaged file.
    """
    values = _array(path) if path.suffix.lower() == ".npy" else _png(path, size)
    return _checked(values, str(path), size)


def _png(path: Path, size: Size) -> Mask:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.mode not in ("L", "P"):
                raise RowFailure(
                    "invalid",
                    f"{path}: a picture of mode {image.mode}, expected 8-bit labels; "
                    "FaceXFormer's label map is parsing.png, not parsing_visualization.png",
                )
            # Before decoding: a header may promise more pixels than there is memory.
            _check_size((image.height, image.width), str(path), size)
            return np.asarray(image, np.uint8)
    except (UnidentifiedImageError, OSError) as error:
        raise RowFailure("unreadable", f"{path}: damaged or no image ({error})") from error


def _array(path: Path) -> np.ndarray:
    try:
        found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RowFailure("unreadable", f"{path}: damaged or no array ({error})") from error
    if found.dtype.kind not in "iu":
        raise RowFailure("invalid", f"{path}: values of type {found.dtype}, expected labels")
    return found


def _check_size(found: tuple[int, ...], name: str, size: Size) -> None:
    if found != size:
        raise RowFailure(
            "invalid",
            f"{name}: size {'x'.join(map(str, found))}, but its crop has {size[0]}x{size[1]} "
            "(height x width); parse the crops of the store faces",
        )


def _checked(values: np.ndarray, name: str, size: Size) -> Mask:
    _check_size(values.shape, name, size)
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if low < 0 or high >= len(CLASSES):
        raise RowFailure(
            "invalid",
            f"{name}: labels {low} to {high}, expected 0 to {len(CLASSES) - 1} in FaceXFormer's "
            "order; maps with CelebAMask's 19 classes must be translated first",
        )
    return values.astype(np.uint8)
