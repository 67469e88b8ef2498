"""Exp-CLIP: one linear map of CLIP's space, taught by a language model's view of the face.

Zhao, Cao, Gong and Patras, WACV 2025, arXiv 2405.19100. CLIP and the teacher are frozen and cached;
CLIP's loss pulls the mapped image feature towards the teacher's vector of the same image, without
any label. At test the same map is applied to images, clips and the texts that name the classes.
Section numbers are those of docs/methods/expclip.md.
"""

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from expressway.core.errors import ConfigError
from expressway.data.clips import Batch, ClipStores, Rows, Sample
from expressway.data.sampling import Indices, nearest, nearest_frames
from expressway.media.sampling import middles
from expressway.methods import base
from expressway.methods.base import Context, Method
from expressway.methods.blocks.gather import gather
from expressway.methods.expclip.recipe import Description, Recipe

WHOLE_CLIP = -1  # the teacher store's source index of a vector that belongs to no single frame

RELEASED_PIXELS = {"normalise": False, "resize": "squash", "interpolation": "bilinear"}


class ExpCLIP(Description, Method[Recipe]):
    """CLIP with a learned metric: a bias-free linear map in front of the cosine."""

    gram: Tensor

    def __init__(self, recipe: Recipe, context: Context) -> None:
        super().__init__(recipe, context)
        # section 2: torch's own start, uniform within 1 / sqrt(D), is the released one
        self.projection = nn.Linear(context.dim, recipe.teacher_dim, bias=False)
        # section 3: the backbone's temperature, not trained
        self.scale = math.exp(context.logit_scale)
        self.register_buffer("gram", torch.zeros(0, 0), persistent=False)
        self.register_load_state_dict_post_hook(_refresh)

    def check_stores(self, stores: ClipStores) -> None:
        """Refuse image features that were prepared otherwise than the recipe says (section 4).

        Raises:
            ConfigError: ``published`` and normalised or cropped pixels, or the other way round.
        """
        made = stores.footer("visual_features").get("config", {})
        wrong = {k: made.get(k) for k, value in RELEASED_PIXELS.items() if made.get(k) != value}
        if self.recipe.published and wrong:
            raise ConfigError(
                f"expclip with published: true needs visual_features made with {RELEASED_PIXELS}, "
                f"this store has {wrong}; name a variant with these keys, or train with "
                "published: false"
            )
        if not self.recipe.published and made.get("normalise") is False:
            raise ConfigError(
                "this visual_features store has pixels without mean and std (normalise: false), as "
                "only Exp-CLIP's release has them; name another variant, or set published: true"
            )

    def sample(self, rows: Rows, random: np.random.Generator, training: bool) -> Sample:
        """Return ``features`` (D,); in training also ``target`` (T,) and ``taught`` ().

        ``taught`` is False for a clip that the teacher has no vector of.
        """
        features = rows["visual_features"]
        if not training:
            return {"features": _mean(features, self._frames(features))}
        teacher = rows["teacher_embeddings"]
        vectors = self._checked(teacher["embeddings"])
        if not len(vectors):
            return self._pair(features, WHOLE_CLIP, np.zeros(self.recipe.teacher_dim), False)
        drawn = int(random.integers(len(vectors)))
        return self._pair(features, int(teacher["source_index"][drawn]), vectors[drawn], True)

    def _pair(
        self, features: Mapping[str, Any], index: int, vector: NDArray[Any], taught: bool
    ) -> Sample:
        """Return what CLIP and the teacher make of the same frame, or of the same clip."""
        source = np.asarray(features["source_index"], np.int64)
        frames = self._frames(features) if index == WHOLE_CLIP else nearest(source, [index])
        return {
            "features": _mean(features, frames),
            "target": torch.from_numpy(np.array(vector, np.float16)),
            "taught": torch.tensor(taught),
        }

    def _checked(self, vectors: NDArray[Any]) -> NDArray[Any]:
        width = vectors.shape[-1]
        if width != self.recipe.teacher_dim:
            raise ConfigError(
                f"the teacher_embeddings store has vectors of width {width}, the recipe says "
                f"{self.recipe.teacher_dim}; set teacher_dim: {width} in the model's recipe"
            )
        return vectors

    def _frames(self, features: Mapping[str, Any]) -> Indices:
        """Section 4: positions of the frames that stand for a clip."""
        source = np.asarray(features["source_index"], np.int64)
        wanted = segment_centres(
            int(source[-1] - source[0]) + 1, self.recipe.frames, self.recipe.published
        )
        return nearest_frames(source, features["valid"], wanted)

    def encode_clips(self, batch: Batch) -> Tensor:
        """Return (batch, T) unit vectors: W times the mean of the frames (section 2)."""
        return functional.normalize(self.projection(batch["features"]).float(), dim=-1)

    def encode_texts(self) -> Tensor:
        """Return (classes, T): the mean of a class's unit vectors.

        It stays shorter than 1, so that cosines to it are the means of the cosines to its texts
        (section 4); of length 1 with ``ensemble: embeddings``.
        """
        return self.projection(self._classes())

    def _classes(self) -> Tensor:
        """Return (classes, D): class vectors before the map."""
        texts = self._unit(self.text_features)
        counts = torch.bincount(self.text_owner, minlength=len(self.context.classes))
        sums = texts.new_zeros(len(counts), texts.shape[-1]).index_add(0, self.text_owner, texts)
        classes = sums / counts[:, None]
        if self.context.protocol == "compound":
            return self.joined(self._unit(classes), self._unit)
        return self._unit(classes) if self.recipe.ensemble == "embeddings" else classes

    def _unit(self, vectors: Tensor) -> Tensor:
        """Return vectors (n, D) whose length after the map is 1."""
        return vectors / self._lengths(vectors)

    def metric(self) -> Tensor:
        """Return (D, D): the Gram matrix of W, all that inference knows of it (section 2)."""
        if len(self.gram):
            return self.gram
        return self.projection.weight.T @ self.projection.weight

    def _lengths(self, vectors: Tensor) -> Tensor:
        """Return (n, 1): the lengths that vectors (n, D) have after the map."""
        squared = ((vectors @ self.metric()) * vectors).sum(-1, keepdim=True)
        return squared.clamp_min(torch.finfo(squared.dtype).tiny).sqrt()

    def scores(self, batch: Batch) -> Tensor:
        """Return (batch, classes): scaled cosines, averaged over the texts of a class."""
        clips = batch["features"]
        return self.scale * (clips / self._lengths(clips)) @ self.metric() @ self._classes().T

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """CLIP's symmetric loss between mapped images and the teacher's vectors (section 3)."""
        teacher = gather(functional.normalize(batch["target"].float(), dim=-1))
        logits = self.scale * gather(self.encode_clips(batch)) @ teacher.T
        taught = gather(batch["taught"])
        if not taught.any():
            return {"contrastive": 0.0 * logits.sum()}
        logits = logits[taught][:, taught]
        identity = torch.eye(len(logits), device=logits.device)
        return {"contrastive": base.symmetric_contrastive(logits, identity)}

    def train(self, mode: bool = True) -> Self:
        """Enter training or, with the Gram matrix computed once, inference."""
        super().train(mode)
        self.gram = self.gram.new_zeros(0, 0)
        if not mode:
            with torch.no_grad():
                self.gram = self.metric()
        return self


def segment_centres(count: int, frames: int, published: bool = False) -> Indices:
    """Return (frames,) the middles of equal parts of ``count`` frames (section 4).

    ``published``: a clip of no more than ``frames`` frames is its first one, as often.
    """
    if published and count <= frames:
        return np.zeros(frames, np.int64)
    return middles(count, frames)


def _mean(features: Mapping[str, Any], frames: Indices) -> Tensor:
    """Return (D,): the mean of unaugmented frames that are *not* normalised (section 2)."""
    chosen = np.asarray(features["features"][frames, 0], np.float32)
    return torch.from_numpy(chosen.mean(0))


def _refresh(method: nn.Module, _: Any) -> None:
    """Compute the Gram matrix anew when weights were loaded in inference."""
    method.train(method.training)
