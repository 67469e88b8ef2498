"""HESP: prompts that tell what a clip is not, so that unknown expressions stand out.

Liu et al., ACM MM 2024, arXiv 2404.17100. CLIP stays frozen. Learned contexts say what each known
class is; a learned image per class says what it is not; a learned patch is laid on the part of the
face that carries the expression. Section numbers are those of docs/methods/hesp.md.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from expressway.core.errors import ConfigError
from expressway.data.clips import Batch, Need, Rows, Sample
from expressway.data.patch_windows import seen_through, side
from expressway.data.pictures import chosen_frames
from expressway.data.sampling import Indices, nearest_frames, segment_frames
from expressway.data.transforms import Augmentation, View
from expressway.methods import base
from expressway.methods.base import Context, Method, Phase
from expressway.methods.blocks.gather import gather
from expressway.methods.blocks.normalised_step import NormalisedStep
from expressway.methods.blocks.open_losses import (
    reciprocal_margin,
    reciprocal_scores,
    supervised_contrastive,
)
from expressway.methods.blocks.prompts import PromptLearner
from expressway.methods.blocks.towers import required
from expressway.methods.releases.hesp import import_release, released_frames, released_window
from expressway.networks.backbones import Backbone

FACES = Need("faces", ("source_index", "valid", "crops"), stream=True)
ATTENTION = Need("attention", ("labels", "scores", "windows", "image_size"))

NEGATIVE_SENTENCE = "This video is not {name}."
MARGIN_WEIGHT = 0.1
CONTRASTIVE_TEMPERATURE = 0.5
PAPER_SCALE = 100.0  # of OpenAI's CLIPs
TRAINED_CLASSES = "its contexts and negative images belong to the classes it was trained on"


class Recipe(base.Recipe):
    """HESP's recipe; the defaults are those of the release (section 5)."""

    epochs: int = Field(100, ge=0, description="paper: 100")
    batch_size: int | None = Field(64, ge=1, description="paper: 64")
    optimiser: Literal["sgd"] = Field("sgd", description="paper: sgd, beside normalised steps")
    learning_rate: float = Field(0.01, gt=0, description="of contexts and radius; paper: 0.01")
    momentum: float = Field(0.9, ge=0, lt=1, description="paper: 0.9")
    weight_decay: float = Field(1e-4, ge=0, description="paper: 1e-4")
    schedule: Literal["constant", "milestones", "cosine"] = Field(
        "milestones", description="of all steps; paper: milestones, normalised steps constant"
    )
    milestones: tuple[int, ...] = Field((30, 60, 90, 120), description="paper: 30, 60, 90, 120")
    frames: int = Field(8, ge=1, description="frames of a clip that are averaged; paper: 8")
    crop_area: tuple[float, float] = Field(
        (0.08, 1.0), description="share of the face that a training view keeps; paper: 0.08 to 1"
    )
    context_tokens: int = Field(
        16, ge=1, description="learned tokens in front of each class name; paper: 16"
    )
    negative_contexts: Literal["fixed", "learned"] = Field(
        "fixed", description="whether negative sentences get learned tokens, too; paper: fixed"
    )
    step_patch: float = Field(
        0.515491,
        ge=0,
        description="root mean square of a step of the patch, pixels counting from 0 to 1; "
        "paper: 0.515491, a step of length 50 at 56 x 56",
    )
    step_negative: float = Field(
        0.128873,
        ge=0,
        description="the same of a negative image; paper: 0.128873, length 50 at 224 x 224",
    )
    centre_distances: bool = Field(
        False,
        description="judge how known a clip is by its distances beyond their mean over the "
        "classes; paper: no",
    )
    checkpointing: bool = Field(
        False, description="compute the image tower twice instead of keeping its states"
    )

    @model_validator(mode="after")
    def _as_released(self) -> Self:
        if self.published and self.negative_contexts == "learned":
            raise ValueError("published: true goes with negative_contexts: fixed")
        if not 0 < self.crop_area[0] <= self.crop_area[1] <= 1:
            raise ValueError(f"crop_area must rise within 0 to 1: {self.crop_area}")
        return self


class HESP(Method[Recipe]):
    """Positive contexts, negative images and a patch on a frozen CLIP; two heads, averaged."""

    name = "hesp"
    title = "HESP"
    reference = "Liu et al., ACM MM 2024, arXiv 2404.17100"
    protocols = ("open_set", "supervised")
    refusals: ClassVar = {
        "zero_shot": TRAINED_CLASSES,
        "leave_one_out": TRAINED_CLASSES,
        "compound": TRAINED_CLASSES,
        "regression": "it has classes to be known or unknown, and no numbers",
    }
    loss_over_batch: ClassVar = dict.fromkeys(protocols, base.CONTRASTIVE)
    class_texts = False
    needs: ClassVar = {"train": (FACES, ATTENTION), "predict": (FACES, ATTENTION)}
    recipe_type = Recipe

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

    @classmethod
    def trains_on_class_texts(cls, protocol: str) -> bool:
        """Texts are read with the contexts in front, when the method is made."""
        return False

    @classmethod
    def needs_backbone(cls, recipe: Any) -> bool:
        """Every clip goes through the image tower with the patch on it."""
        return True

    @classmethod
    def stores(cls, recipe: Any, protocol: str, phase: Phase) -> tuple[Need, ...]:
        """The release has one window for all clips, so it reads none of a clip."""
        return (FACES,) if recipe.published else cls.needs[phase]

    @classmethod
    def import_release(cls, file: Path, out: Path, backbone: str | None) -> Path:
        """Write the authors' checkpoint as a model folder (section 9)."""
        return import_release(file, out, backbone)

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
