"""HESP: prompts that tell what a clip is not, so that unknown expressions stand out.

Liu et al., ACM MM 2024, arXiv 2404.17100. CLIP stays frozen. Learned contexts say what each known
class is; a learned image per class says what it is not; a learned patch is laid on the part of the
face that carries the expression. Section numbers are those of docs/methods/hesp.md.
"""

import math
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from expressway.core.errors import ConfigError
from expressway.data.clips import Batch, Rows, Sample
from expressway.data.patch_windows import seen_through, side
from expressway.data.pictures import chosen_frames
from expressway.data.sampling import Indices, nearest_frames, segment_frames
from expressway.data.transforms import Augmentation, View
from expressway.methods.base import Context, Method
from expressway.methods.blocks.gather import gather
from expressway.methods.blocks.normalised_step import NormalisedStep
from expressway.methods.blocks.open_losses import (
    reciprocal_margin,
    reciprocal_scores,
    supervised_contrastive,
)
from expressway.methods.blocks.prompts import PromptLearner
from expressway.methods.blocks.towers import required
from expressway.methods.hesp.clips import released_frames, released_window
from expressway.methods.hesp.recipe import Description, Recipe
from expressway.networks.backbones import Backbone

NEGATIVE_SENTENCE = "This video is not {name}."
MARGIN_WEIGHT = 0.1
CONTRASTIVE_TEMPERATURE = 0.5
PAPER_SCALE = 100.0  # of OpenAI's CLIPs


class HESP(Description, Method[Recipe]):
    """Positive contexts, negative images and a patch on a frozen CLIP; two heads, averaged."""

    negative_contexts: PromptLearner
    negative_texts: Tensor
    position: Tensor

    def __init__(self, recipe: Recipe, context: Context) -> None:
        super().__init__(recipe, context)
        backbone = self.backbone = required(context.backbone, self.name)
        size, names = _square(backbone), self._names()
        # section 2.1: learned contexts and the class's name; 2.2: negative sentences
        self.contexts = PromptLearner(backbone, [f"{n}." for n in names], recipe.context_tokens)
        self.contexts.requires_grad_(not recipe.published)
        sentences = [NEGATIVE_SENTENCE.format(name=name) for name in names]
        if recipe.negative_contexts == "learned":
            self.negative_contexts = PromptLearner(backbone, sentences, recipe.context_tokens)
        self.register_buffer("negative_texts", backbone.encode_texts(sentences), persistent=False)
        # section 2.3: a patch for all classes; 2.4: an image per class; 3: ARPL's radius
        self.patch = nn.Parameter(torch.zeros(3, side(size), side(size)))
        self.negative_images = nn.Parameter(torch.randn(len(names), 3, size, size))
        self.radius = nn.Parameter(torch.zeros(()))
        if recipe.published:
            self.register_buffer("position", torch.full((2,), size // 2))
        if recipe.checkpointing:
            backbone.model.visual.set_grad_checkpointing()
        # section 2.6: the backbone's temperature, not trained
        self.scale = math.exp(context.logit_scale)
        self.distance_scale = 1.0 if recipe.published else self.scale / PAPER_SCALE
        self._kept: tuple[Tensor, Tensor] | None = None
        self.register_load_state_dict_post_hook(_forget)

    def _names(self) -> list[str]:
        """Return a name per class: its first text, without full stop."""
        first = {self.context.labels[owner]: text for text, owner in reversed(self.sentences())}
        # section 8: the release sorts texts by name and labels by number
        ordered = sorted(first) if self.recipe.published else self.context.labels
        return [first[label].removesuffix(".") for label in ordered]

    def sample(self, rows: Rows, random: np.random.Generator, training: bool) -> Sample:
        """Return ``images`` uint8 (frames, 3, height, width) and ``window`` (2,): row, column."""
        row, size = rows["faces"], self.backbone.image_size
        images = chosen_frames(row, self._frames(row, random if training else None))
        stored = (images.shape[-2], images.shape[-1])
        area = Augmentation(area=self.recipe.crop_area)
        view = area.draw(stored, random) if training else View.whole(stored)
        mode = "bilinear" if self.recipe.published else self.backbone.preprocess.interpolation
        sample = {"images": view.apply(images, (size, size), mode)}
        if not self.recipe.published:
            window = seen_through(view, self._window(rows["attention"]), stored, size)
            sample["window"] = torch.from_numpy(window)
        return sample

    def _frames(self, row: Any, random: np.random.Generator | None) -> Indices:
        """Section 4: a frame of each of T equal parts; random ones in training."""
        source = np.asarray(row["source_index"], np.int64)
        rule = released_frames if self.recipe.published else segment_frames
        wanted = rule(int(source[-1] - source[0]) + 1, self.recipe.frames, random)
        return nearest_frames(source, row["valid"], wanted)

    def _window(self, row: Any) -> Indices:
        """Section 2.3: the window of the known class that the clip is most similar to.

        Raises:
            ConfigError: the store has no windows for a known class.
        """
        place = {label: index for index, label in enumerate(row["labels"])}
        missing = [label for label in self.context.labels if label not in place]
        if missing:
            raise ConfigError(
                f"the attention store has no windows for {', '.join(missing)}, only for "
                f"{', '.join(place)}; name all classes under labels: of its variant"
            )
        known = [place[label] for label in self.context.labels]
        best = known[int(np.argmax(np.asarray(row["scores"])[known]))]
        middle = np.asarray(row["windows"], np.int64)[best] * self.backbone.image_size
        return middle // int(row["image_size"])

    def begin(self, batches: Iterable[Batch]) -> None:
        """Published: find the window of all clips on the first frame of the first one."""
        if self.recipe.published:
            frame = next(iter(batches))["images"][0, :1].float() / 255
            self.position.copy_(released_window(self.backbone, frame, self._names()))

    def encode_clips(self, batch: Batch) -> Tensor:
        """Return (batch, D): the mean of the frames' embeddings, not normalised (section 2.5)."""
        windows = self.position if self.recipe.published else batch["window"]
        return self.clip_vectors(batch["images"].float() / 255, windows.expand(len(batch), 2))

    def clip_vectors(self, images: Tensor, windows: Tensor) -> Tensor:
        """Return (batch, D) of images with the patch on them.

        Args:
            images: (batch, frames, 3, height, width) in [0, 1].
            windows: (batch, 2) row and column of the patch's middle.
        """
        preprocess, (batch, frames) = self.backbone.preprocess, images.shape[:2]
        # section 2.3: on all frames alike, before mean and std, not clamped
        patched = images + self._canvas(windows)[:, None]
        mean, std = (patched.new_tensor(v).view(3, 1, 1) for v in (preprocess.mean, preprocess.std))
        vectors = self._encode_images(((patched - mean) / std).flatten(0, 1))
        return vectors.unflatten(0, (batch, frames)).mean(1)

    def _canvas(self, windows: Tensor) -> Tensor:
        """Return (batch, 3, height, width): the patch at its place, else zeros."""
        width, size = self.patch.shape[-1], self.backbone.image_size
        corners = (windows - width // 2).tolist()
        return torch.stack(
            [
                functional.pad(self.patch, (left, size - width - left, top, size - width - top))
                for top, left in corners
            ]
        )

    def _encode_images(self, images: Tensor) -> Tensor:
        """Return (n, D) of images (n, 3, height, width), with gradients to the images."""
        vectors: Tensor = self.backbone.model.encode_image(images)
        return vectors.float()

    def encode_texts(self) -> Tensor:
        """Return (classes, D) unit vectors of contexts with class names (section 2.1)."""
        return functional.normalize(self.contexts(), dim=-1)

    def encode_negatives(self) -> Tensor:
        """Return (classes, D): the negative images' embeddings, not normalised (section 2.4)."""
        return self._encode_images(self.negative_images)

    def _sides(self) -> tuple[Tensor, Tensor]:
        """Return the classes' texts and negatives, in inference computed once."""
        if self.training or torch.is_grad_enabled():
            return self.encode_texts(), self.encode_negatives()
        if self._kept is None:
            self._kept = self.encode_texts(), self.encode_negatives()
        return self._kept

    def heads(self, clips: Tensor, texts: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
        """Return both heads' logits, (batch, classes) each: CLIP's and the distances (2.6)."""
        cosines = functional.normalize(clips, dim=-1) @ texts.T
        return self.scale * cosines, self.distance_scale * reciprocal_scores(clips, negatives)

    def scores(self, batch: Batch) -> Tensor:
        """Return (batch, classes): the hybrid, the mean of both heads (section 2.6)."""
        clips = self.encode_clips(batch)
        texts, negatives = self._sides()
        with torch.autocast(clips.device.type, enabled=False):
            similar, distant = self.heads(clips, texts, negatives)
        if self.recipe.centre_distances:
            # section 2.6: what all classes share tells nothing of any of them
            distant = distant - distant.mean(-1, keepdim=True)
        return (similar + distant) / 2

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The five terms of section 3, all with weight 1."""
        clips, labels = gather(self.encode_clips(batch)), gather(batch.labels)
        return self.terms(clips, labels)

    def terms(self, clips: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the five losses of clip vectors (batch, D) with labels (batch,)."""
        texts, negatives = self._sides()
        sentences = self._negative_texts()
        with torch.autocast(clips.device.type, enabled=False):
            similar, distant = self.heads(clips, texts, negatives)
            margin = reciprocal_margin(clips, negatives[labels], self.radius)
            opposed = self.scale * functional.normalize(negatives, dim=-1) @ sentences.T
            own = torch.arange(len(negatives), device=labels.device)
            return {
                "known": functional.cross_entropy(similar, labels),
                "contrastive": supervised_contrastive(clips, labels, CONTRASTIVE_TEMPERATURE),
                "negative": functional.cross_entropy(distant, labels) + MARGIN_WEIGHT * margin,
                "negative_text": functional.cross_entropy(opposed, own),
                "hybrid": functional.cross_entropy((similar + distant) / 2, labels),
            }

    def _negative_texts(self) -> Tensor:
        """Return (classes, D) unit vectors of the negative sentences (section 2.2)."""
        learned = self.recipe.negative_contexts == "learned"
        return functional.normalize(
            self.negative_contexts() if learned else self.negative_texts, dim=-1
        )

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return contexts and radius for SGD, pixels for normalised steps (section 5)."""
        recipe = self.recipe
        pixels = {id(self.patch), id(self.negative_images)}
        rest = [p for p in self.parameters() if p.requires_grad and id(p) not in pixels]
        ordinary = {"params": rest}
        patch: dict[str, Any] = {"params": [self.patch], "normalise": "whole"}
        images: dict[str, Any] = {"params": [self.negative_images]}
        if recipe.published:
            # section 8: never decayed, all images shifted alike, then SGD on the images
            patch |= {"fixed": recipe.step_patch, "lr": 0.0}
            images |= {"fixed": recipe.step_negative, "normalise": "mean"}
            return [ordinary, patch, images]
        plain = {"momentum": 0.0, "weight_decay": 0.0}
        patch |= {"lr": recipe.step_patch, **plain}
        images |= {"lr": recipe.step_negative, "normalise": "each", **plain}
        return [ordinary, patch, images]

    def optimiser(self) -> torch.optim.Optimizer:
        """Return SGD with normalised steps for pixels (section 5)."""
        return NormalisedStep(
            self.parameter_groups(),
            lr=self.recipe.learning_rate,
            momentum=self.recipe.momentum,
            weight_decay=self.recipe.weight_decay,
        )

    def train(self, mode: bool = True) -> Self:
        """Enter training or inference; what inference keeps is computed anew."""
        self._kept = None
        return super().train(mode)


def _forget(method: nn.Module, _: Any) -> None:
    """Drop what was computed with the weights before these."""
    method.train(method.training)


def _square(backbone: Backbone) -> int:
    """Return the side of a backbone's images.

    Raises:
        ConfigError: they are not square.
    """
    height, width = backbone.preprocess.size
    if height != width:
        raise ConfigError(f"hesp needs square images, {backbone.name} has {height} x {width}")
    return height
