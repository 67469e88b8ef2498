"""Augmentation of whole clips: one draw for all frames and all image modalities of a clip.

Images are cut after parsing and landmarks are drawn into them, so every modality shows the same
part of the face.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

TRIES = 10


@dataclass(frozen=True)
class Augmentation:
    """How far views may differ from the plain crop.

    Attributes:
        area: least and greatest share of the image that is kept.
        ratio: least and greatest width over height of what is kept.
        flip: probability of a mirror image.
        degrees: greatest rotation to either side.
    """

    area: tuple[float, float] = (0.6, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    degrees: float = 0.0

    def draw(self, size: tuple[int, int], random: np.random.Generator) -> "View":
        """Return a view of images of a size ``(height, width)`` in pixels."""
        degrees = float(random.uniform(-self.degrees, self.degrees))
        mirrored = bool(random.random() < self.flip)
        height, width = self._cut(size, random)
        top = int(random.integers(size[0] - height + 1))
        left = int(random.integers(size[1] - width + 1))
        return View(top, left, height, width, mirrored, degrees)

    def _cut(self, size: tuple[int, int], random: np.random.Generator) -> tuple[int, int]:
        """Return ``(height, width)``; the whole image where no draw fits into it."""
        for _ in range(TRIES):
            area = size[0] * size[1] * random.uniform(*self.area)
            ratio = math.exp(random.uniform(*np.log(self.ratio)))
            height, width = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < height <= size[0] and 0 < width <= size[1]:
                return height, width
        return size


@dataclass(frozen=True)
class View:
    """A part of an image in pixels, turned by ``degrees`` before it is cut, mirrored after."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool = False
    degrees: float = 0.0

    @classmethod
    def whole(cls, size: tuple[int, int]) -> Self:
        """Return the view that leaves an image of a size ``(height, width)`` as it is."""
        return cls(0, 0, *size)

    def apply(self, images: Tensor, size: tuple[int, int], mode: str = "bicubic") -> Tensor:
        """Return the view of uint8 ``(frames, 3, height, width)`` as uint8 ``(frames, 3, *size)``.

        Args:
            size: (height, width) of the result.
            mode: filter for resizing, ``bicubic`` or ``bilinear``; antialiased either way.
        """
        turned = rotated(images, self.degrees) if self.degrees else images
        bottom, right = self.top + self.height, self.left + self.width
        cut = turned[..., self.top : bottom, self.left : right]
        if cut.shape[-2:] != size:
            cut = functional.interpolate(cut, size, mode=mode, antialias=True, align_corners=False)
        return (cut.flip(-1) if self.mirrored else cut).contiguous()


def rotated(images: Tensor, degrees: float) -> Tensor:
    """Return uint8 images turned around their middle; uncovered corners mirror the image."""
    height, width = images.shape[-2:]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # grids count from -1 to 1 along both sides, whatever their lengths
    matrix = [[cosine, -sine * height / width, 0.0], [sine * width / height, cosine, 0.0]]
    theta = torch.tensor(matrix).expand(len(images), 2, 3)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    turned = functional.grid_sample(
        images.float(), grid, padding_mode="reflection", align_corners=False
    )
    return turned.round().to(torch.uint8)
