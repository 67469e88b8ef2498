"""Cache of class-text vectors: most predictions need nothing else of a backbone.

Loading a CLIP takes seconds, reading ten vectors none. The key is the sha256 of the backbone's
weights and the texts, so that a file can be stale for nobody.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from expressway.core.files import atomic_path
from expressway.core.fingerprints import digest


class TextEncoder(Protocol):
    """What a method needs of a backbone to read class texts."""

    def encode_texts(self, texts: list[str], /) -> Tensor:
        """Return (texts, D) float32, not normalised."""
        ...


class KeptTexts:
    """A text encoder that is loaded only for texts that it has not read before."""

    def __init__(self, folder: Path, weights: str, load: Callable[[], TextEncoder]) -> None:
        """Args: ``weights``: sha256 of what ``load`` returns."""
        self.folder, self.weights, self.load = folder, weights, load

    def encode_texts(self, texts: list[str]) -> Tensor:
        """Return (texts, D) float32, not normalised, on the CPU."""
        path = self.folder / f"{digest([self.weights, texts])}.npy"
        if path.is_file():
            return torch.from_numpy(np.load(path, allow_pickle=False))
        vectors = self.load().encode_texts(texts).cpu()
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, vectors.numpy(), allow_pickle=False)
        return vectors
