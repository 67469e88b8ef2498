"""A clip as one vector: CLIP's image tower on every frame, a small transformer over time.

EmoCLIP's video encoder (docs/methods/emoclip.md, sections 2 and 4), shared by the methods that
put something on top of it. The tower is frozen and cached, or tuned and run on face crops.
"""

from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from expressway.data.clips import Batch, Rows
from expressway.data.pictures import chosen_frames
from expressway.data.sampling import (
    Indices,
    centre_window,
    every_kth,
    random_window,
    wrapping_window,
)
from expressway.data.transforms import Augmentation, View
from expressway.methods.base import Context, Method
from expressway.methods.blocks.temporal import TemporalTransformer
from expressway.methods.blocks.towers import required, visual_tower
from expressway.methods.blocks.video_recipe import VideoDescription, VideoRecipe

# section 4: mirrored or not, turned by up to 6 degrees, never cut
AUGMENTATION = Augmentation(area=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.5, degrees=6.0)


V = TypeVar("V", bound=VideoRecipe)


class VideoMethod(VideoDescription, Method[V], Generic[V]):
    """What methods on EmoCLIP's video encoder share: frames in, one vector per clip out."""

    def __init__(self, recipe: V, context: Context) -> None:
        super().__init__(recipe, context)
        head_dim, mlp_dim = recipe.head_dim, recipe.mlp_dim
        if recipe.published:
            # section 2, quirk A: the release hands the two widths over in the wrong order
            head_dim, mlp_dim = recipe.mlp_dim, context.dim
        self.temporal = TemporalTransformer(
            context.dim,
            recipe.depth,
            recipe.heads,
            head_dim,
            mlp_dim,
            rows=recipe.position_rows,
            dropout=recipe.dropout,
            init_std=recipe.init_std,
        )
        if self.tuned:
            backbone = required(context.backbone, self.name)
            self.preprocess = backbone.preprocess
            self.visual = visual_tower(backbone)

    @property
    def tuned(self) -> bool:
        """Whether the image tower is trained, so that clips are crops and not cached features."""
        return self.recipe.tune != "frozen"

    def frames(self, rows: Rows, random: np.random.Generator, training: bool) -> Tensor:
        """Return a window of a clip: cached (frames, D), or uint8 (frames, 3, height, width)."""
        row = rows["faces" if self.tuned else "visual_features"]
        chosen = self._window(row["source_index"], row["valid"], random, training)
        if self.tuned:
            images = chosen_frames(row, chosen)
            size = (images.shape[-2], images.shape[-1])
            view = AUGMENTATION.draw(size, random) if training else View.whole(size)
            return view.apply(images, self.preprocess.size, self.preprocess.interpolation)
        views = row["features"].shape[1]
        view_index = int(random.integers(views)) if training else 0
        features = np.asarray(row["features"][chosen, view_index], dtype=np.float32)
        return torch.from_numpy(features)

    def _window(
        self,
        source_index: Indices,
        valid: NDArray[np.bool_],
        random: np.random.Generator,
        training: bool,
    ) -> Indices:
        """Section 4.2: every k-th frame of the source, then a window of fixed length."""
        kept = every_kth(source_index, valid, self.recipe.frame_step)
        count, length = len(kept), self.recipe.frames
        if self.recipe.published:
            # sections 4.2 and 4.3: wraps around the end, and is random at test time too
            return kept[wrapping_window(count, length, int(random.integers(count)))]
        if training:
            return kept[random_window(count, length, random)]
        return kept[centre_window(count, length)]

    def video_vectors(self, batch: Batch) -> Tensor:
        """Return (batch, D): the state of the summary token, not normalised (steps 1 to 5)."""
        frames = batch["frames"]
        if self.tuned:
            seen = self.visual(self.preprocess.normalise(frames.flatten(0, 1)))
            frames = seen.float().unflatten(0, frames.shape[:2])
        return self.temporal(frames)

    def towers(self) -> list[nn.Module]:
        """Return the tuned towers."""
        return [self.visual] if self.tuned else []

    def replaced(self) -> int:
        """Return the size of the tuned towers, whose originals are not used."""
        return sum(tensor.numel() for tower in self.towers() for tensor in tower.parameters())

    def tower_groups(self) -> list[dict[str, Any]]:
        """Return the tensors of tuned towers with their own step size, if there are any."""
        tensors = [tensor for tower in self.towers() for tensor in tower.parameters()]
        rate = self.recipe.learning_rate * self.recipe.tower_rate
        return [{"params": tensors, "lr": rate}] if tensors else []
