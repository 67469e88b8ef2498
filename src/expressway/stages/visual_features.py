"""Frozen CLIP image features of every face crop, once per augmented view, as fp16.

View 0 is the plain crop, view 1 its mirror image; further views are small rotations and crops that
follow from (seed, clip id, view), the same for all frames of a clip.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from expressway.core.columns import frame_array, frame_list
from expressway.core.foreign_text import short
from expressway.core.stage import Outcome, Row, RowFunction, Runtime, Stage
from expressway.faces.pictures import decode
from expressway.networks import backbones
from expressway.networks.precision import Chunks, as_half, precision_for
from expressway.networks.preprocessing import Preprocess
from expressway.stages.backbone_config import BackboneConfig

if TYPE_CHECKING:
    from torch import Tensor

MAX_DEGREES = 6.0
MIN_SCALE = 0.9
FRAMES_PER_BATCH = 64


class VisualFeaturesConfig(BackboneConfig):
    """Which backbone looks at which crops, and how the crops are prepared."""

    views: int = Field(
        1, ge=1, le=64, description="1 plain; 2 adds the mirror image; more: rotated crops"
    )
    seed: int = Field(0, description="seed of the views from the third on")
    normalise: bool = Field(
        True,
        description="subtract mean, divide by std; false: pixels in [0, 1] (published Exp-CLIP)",
    )
    resize: Literal["backbone", "crop", "squash"] = Field(
        "backbone", description="crops that are not square: cut the centre, or squash (Exp-CLIP)"
    )
    interpolation: Literal["backbone", "bicubic", "bilinear"] = Field(
        "backbone", description="filter for resizing; Exp-CLIP published: bilinear"
    )


def schema(config: VisualFeaturesConfig) -> pa.Schema:
    """Columns: frame facts as in ``faces``; ``features`` fp16 ``(frames, views, D)``."""
    width = backbones.embedding_width(config.backbone)
    return pa.schema(
        [
            frame_list("source_index", "int32"),
            frame_list("time", "float64"),
            frame_list("valid", "bool"),
            frame_array("features", "float16", config.views, width),
        ]
    )


def preprocessing(config: VisualFeaturesConfig, backbone: backbones.Backbone) -> Preprocess:
    """Return the backbone's preprocessing with the configuration's changes."""
    modes = {"crop": "shortest", "squash": "squash"}
    found = backbone.preprocess.changed(
        resize_mode=modes.get(config.resize),
        interpolation=None if config.interpolation == "backbone" else config.interpolation,
    )
    return found if config.normalise else found.unnormalised()


def open_stage(config: VisualFeaturesConfig, runtime: Runtime) -> RowFunction:
    """Load the backbone once and return the batched row function.

    Raises:
        ConfigError: an unknown backbone, or one whose activation does not fit its weights.
        SystemicError: weights or GPU are missing.
    """
    import torch

    torch.set_num_threads(max(1, runtime.threads))
    precision = precision_for(config.precision, runtime.device)
    backbone = backbones.load(config.backbone, runtime.device, precision)
    extractor = Extractor(config, backbone)
    pool = ThreadPoolExecutor(max(1, runtime.threads), thread_name_prefix="decode")

    def compute(rows: list[Row]) -> list[Outcome]:
        features = extractor.features(rows, pool)
        return [
            {
                **{name: row.inputs["faces"][name] for name in ("source_index", "time", "valid")},
                "features": block,
            }
            for row, block in zip(rows, features, strict=True)
        ]

    return compute


class Extractor:
    """Turns the crops of several clips into features, decoding ahead of the network."""

    def __init__(self, config: VisualFeaturesConfig, backbone: backbones.Backbone) -> None:
        self.config = config
        self.backbone = backbone
        self.preprocess = preprocessing(config, backbone)
        self.chunks = Chunks(FRAMES_PER_BATCH, "frames")

    def features(self, rows: Sequence[Row], pool: ThreadPoolExecutor) -> list[np.ndarray]:
        """Return fp16 ``(frames, views, D)`` per row.

        Raises:
            RowFailure: ``unreadable``: a crop cannot be decoded.
            SystemicError: a feature does not fit into fp16, or one frame not into GPU memory.
        """
        crops = [crop for row in rows for crop in row.inputs["faces"]["crops"]]
        counts = [len(row.inputs["faces"]["crops"]) for row in rows]
        matrices = np.repeat(self._matrices(rows), counts, axis=0)
        parts = [
            self._encode(pixels, matrices[start : start + len(pixels)])
            for start, pixels in self._decoded(crops, pool)
        ]
        shape = (0, self.config.views, self.backbone.dim)
        joined = np.concatenate([np.empty(shape, np.float16), *parts])
        return np.split(joined, np.cumsum(counts)[:-1])

    def _matrices(self, rows: Sequence[Row]) -> np.ndarray:
        """Return ``(rows, views, 2, 3)``."""
        views, seed = range(self.config.views), self.config.seed
        return np.stack([[view_matrix(seed, row.clip.id, v) for v in views] for row in rows])

    def _decoded(
        self, crops: Sequence[bytes], pool: ThreadPoolExecutor
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield ``(start, uint8 (n, 3, h, w))``; the next chunk is decoded meanwhile."""
        import torch

        waiting: list[Future[Tensor]] = []
        starts = range(0, len(crops), FRAMES_PER_BATCH)
        for start in starts:
            ready = waiting or _submit(pool, self._prepare, crops, start)
            waiting = _submit(pool, self._prepare, crops, start + FRAMES_PER_BATCH)
            yield start, torch.stack([future.result() for future in ready])

    def _prepare(self, crop: bytes) -> Tensor:
        return self.preprocess.resize(decode(crop))

    def _encode(self, pixels: Tensor, matrices: np.ndarray) -> np.ndarray:
        """Return fp16 ``(n, views, D)`` of uint8 ``(n, 3, h, w)``."""
        parts = self.chunks.run(
            lambda part: self._views(pixels[part], matrices[part]).cpu().numpy(),
            np.arange(len(pixels)),
        )
        return as_half(np.concatenate(parts), f"backbone {self.backbone.name}")

    def _views(self, pixels: Tensor, matrices: np.ndarray) -> Tensor:
        import torch

        images = self.preprocess.normalise(pixels.to(self.backbone.device))
        encode = self.backbone.encode_images
        views = [
            encode(transformed(images, view, matrices[:, view]))
            for view in range(self.config.views)
        ]
        return torch.stack(views, dim=1)


def _submit(
    pool: ThreadPoolExecutor,
    function: Callable[[bytes], Tensor],
    crops: Sequence[bytes],
    start: int,
) -> list[Future[Tensor]]:
    return [pool.submit(function, crop) for crop in crops[start : start + FRAMES_PER_BATCH]]


def view_matrix(seed: int, clip_id: str, view: int) -> np.ndarray:
    """Return the 2 x 3 matrix (output to input, in [-1, 1]) of a view of a clip.

    From view 2 on: rotation up to 6 degrees, a crop of 90 to 100 % of the side, mirrored or not.
    """
    if view < 2:
        return np.array([[1.0 - 2.0 * view, 0.0, 0.0], [0.0, 1.0, 0.0]], np.float32)
    entropy = hashlib.sha256(f"{seed}/{view}/{clip_id}".encode()).digest()
    random = np.random.default_rng(int.from_bytes(entropy[:8], "little"))
    angle = math.radians(random.uniform(-MAX_DEGREES, MAX_DEGREES))
    scale = random.uniform(MIN_SCALE, 1.0)
    x, y = random.uniform(scale - 1.0, 1.0 - scale, size=2)
    mirror = random.choice([-1.0, 1.0])
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[mirror * cosine, -sine, x], [mirror * sine, cosine, y]], np.float32)


def transformed(images: Tensor, view: int, matrices: np.ndarray) -> Tensor:
    """Return a view of normalised images ``(n, 3, h, w)``; ``matrices`` is ``(n, 2, 3)``.

    Corners that a rotation uncovers are zero: the mean colour of normalised pixels.
    """
    import torch
    from torch.nn import functional

    if view == 0:
        return images
    if view == 1:
        return images.flip(-1)
    theta = torch.from_numpy(matrices).to(images.device)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def sentence(config: Mapping[str, Any]) -> str:
    """Return what the stage did, for a paper's methods section; ``config`` as in the footer."""
    views = config.get("views", 1)
    several = f", {views} views of each" if views and views > 1 else ""
    return (
        f"Each face went through the frozen image tower of {short(config.get('backbone'))} "
        f"[clip, open_clip]{several}."
    )


STAGE = Stage(
    name="visual_features",
    summary="Encode every aligned face with a frozen CLIP image tower.",
    config=VisualFeaturesConfig,
    schema=schema,
    open=open_stage,
    parallel="batches",
    # not images, but read like them: one clip at random, and fp16 hardly compresses
    images=True,
    packages=("open_clip_torch", "torch", "opencv-python"),
    order=60,
    sentence=sentence,
    cites=("clip", "open_clip"),
)
