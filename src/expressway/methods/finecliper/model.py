"""FineCLIPER: adapters on a frozen CLIP that looks at faces, their parts, and their description.

Chen, Huang, Dong, Zheng and Shao, ACM MM 2024, arXiv 2407.02157. A re-implementation from the
paper's figures and tables: its code was never released. Section numbers are those of
docs/methods/finecliper.md.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from expressway.data.clips import Batch, ClipStores, Rows, Sample
from expressway.language.class_vectors import TextEncoder
from expressway.methods.base import Context, Method
from expressway.methods.blocks.adapters import ImageAdapters, TextAdapters
from expressway.methods.blocks.fusion import Fusion
from expressway.methods.blocks.gather import gather
from expressway.methods.blocks.temporal import TemporalTransformer
from expressway.methods.blocks.towers import required
from expressway.methods.finecliper import clips as finecliper_inputs
from expressway.methods.finecliper.recipe import IMAGES, Adapted, Description, Recipe

# frames of a test batch that go through a tower at a time
FRAMES_AT_ONCE = 256


class FineCLIPER(Description, Method[Recipe]):
    """Image streams and captions through adapted frozen towers, fused, against paired sentences."""

    own_sentences: Tensor
    positive: Tensor
    negative: Tensor

    def __init__(self, recipe: Recipe, context: Context) -> None:
        super().__init__(recipe, context)
        self.backbone = required(context.backbone, self.name)
        self.images = nn.ModuleDict(dict(self._image_adapters()))
        self.texts = nn.ModuleDict(dict(self._text_adapters()))
        self.temporal = self._temporal() if recipe.temporal == "transformer" else None
        self.fusion = Fusion(
            recipe.fusion, len(recipe.modalities), recipe.fusion_temperature, recipe.first_weight
        )
        if "captions" not in recipe.modalities:
            # classification alone is a mean over clips, which micro batches can add up
            self.loss_over_batch = {}  # type: ignore[misc]
        # saved with the weights: a model keeps the sentences it was trained with, whatever the
        # protocol that it is evaluated under
        self.register_buffer("own_sentences", torch.tensor(context.protocol != "zero_shot"))
        for name in ("positive", "negative"):
            empty = torch.zeros(0, self.backbone.context_length, dtype=torch.int64)
            self.register_buffer(name, empty, persistent=False)
            if name in self.texts and context.protocol == "zero_shot":
                self.texts[name].requires_grad_(False)

    def _image_adapters(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield a set per image stream (sections 2.1, 2.2, 2.5)."""
        recipe = self.recipe
        for name in recipe.pictures if "images" in recipe.adapters else ():
            yield (
                name,
                ImageAdapters(
                    self.backbone.model,
                    recipe.adapter_width if name == "frames" else recipe.cue_width,
                    recipe.scale,
                    recipe.drop_path,
                    over_time=recipe.temporal == "aim" and name == "frames",
                    checkpointing=recipe.checkpointing,
                ),
            )

    def _text_adapters(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield a set for positive sentences, negative ones, and captions (sections 2.4, 2.6)."""
        recipe, model = self.recipe, self.backbone.model
        for name in recipe.adapters:
            if name in ("positive", "negative") or name in recipe.modalities:
                yield name, TextAdapters(model, recipe.adapter_width, recipe.checkpointing)

    def _temporal(self) -> nn.Module:
        """Return DFER-CLIP's temporal transformer, shared by the image streams (section 2.3)."""
        recipe = self.recipe
        return TemporalTransformer(
            self.context.dim,
            depth=1,
            heads=recipe.heads,
            head_dim=recipe.head_dim,
            mlp_dim=recipe.mlp_dim,
            rows=recipe.frames + 1,
            init_std=recipe.init_std,
        )

    def check_stores(self, stores: ClipStores) -> None:
        """Refuse modalities without a store, and cues of other crops than those that are read."""
        finecliper_inputs.check(self.recipe, self.backbone, stores, bool(self.own_sentences))

    def sample(self, rows: Rows, random: np.random.Generator, training: bool) -> Sample:
        """Return a clip's modalities and ``present`` (modalities,).

        Images are uint8 (frames, 3, height, width), captions token ids (context,).
        """
        return finecliper_inputs.sample(self.recipe, self.backbone, rows, random, training)

    # --- clips ------------------------------------------------------------------------------

    def encode_streams(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return (batch, modalities, D) unit vectors and (batch, modalities), which are there."""
        vectors = [
            self.encode_texts_with("captions", batch[name])
            if name == "captions"
            else self._images(name, batch[name])
            for name in self.recipe.modalities
        ]
        return torch.stack([functional.normalize(v.float(), dim=-1) for v in vectors], 1), batch[
            "present"
        ]

    def _images(self, name: str, images: Tensor) -> Tensor:
        """Map uint8 (batch, frames, 3, height, width) to (batch, D) (sections 2.2, 2.3)."""
        at_once = len(images) if self.training else max(1, FRAMES_AT_ONCE // images.shape[1])
        return torch.cat([self._clips(name, part) for part in images.split(at_once)])

    def _clips(self, name: str, images: Tensor) -> Tensor:
        pixels = self.backbone.preprocess.normalise(images.flatten(0, 1))
        if name in self.images:
            seen = self.images[name](pixels, images.shape[1])
        else:
            seen = self.backbone.encode_images(pixels)
        frames = seen.unflatten(0, images.shape[:2])
        return frames.mean(1) if self.temporal is None else self.temporal(frames)

    def encode_clips(self, batch: Batch) -> Tensor:
        """Return (batch, D): the fused unit vectors (section 2.7)."""
        vectors, present = self.encode_streams(batch)
        with self._exactly():
            return self._fused(vectors, present)

    def _fused(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Fuse what is there; captions are what zero_shot learns from, not what it sees."""
        if not self.own_sentences:
            seen = torch.tensor([name in IMAGES for name in self.recipe.modalities])
            present = present & seen.to(present.device)
        return self.fusion(vectors, present)

    def _exactly(self) -> AbstractContextManager[Any]:
        """Compare vectors in float32: cosines are multiplied by 100."""
        return torch.autocast(self.own_sentences.device.type, enabled=False)

    # --- classes ----------------------------------------------------------------------------

    def sentences(self) -> list[tuple[str, int]]:
        """Return the positive class texts: the paper's, or under zero_shot those of the prompts."""
        if not self.own_sentences:
            return super().sentences()
        return [(sentence(name), i) for i, name in enumerate(self.context.classes)]

    def read_prompts(self, encoder: TextEncoder) -> None:
        """Keep the token ids of the class texts and of their negatives, where they have any."""
        texts, owners = zip(*self.sentences(), strict=True)
        negator = self.recipe.negator
        opposite = {sentence(c): sentence(f"{negator} {c}") for c in self.context.classes}
        negatives = [opposite[text] for text in texts if text in opposite]
        device = self.own_sentences.device
        self.text_owner = torch.tensor(owners).to(device)
        self.positive = self.backbone.tokenize(texts).to(device)
        paired = len(negatives) == len(texts)
        self.negative = self.backbone.tokenize(negatives if paired else []).to(device)

    def encode_texts_with(self, adapters: Adapted, tokens: Tensor) -> Tensor:
        """Map token ids (texts, context) to (texts, D) through a set of adapters, if it exists."""
        if adapters in self.texts:
            return self.texts[adapters](tokens)
        with torch.no_grad():
            return self.backbone.model.encode_text(tokens).float()

    def class_pairs(self) -> tuple[Tensor, Tensor]:
        """Return unit vectors of the positive and negative sentences, each (classes, D).

        Negatives are zero where the class texts have none.
        """
        own = bool(self.own_sentences)
        positive = self.encode_texts_with("positive" if own else "captions", self.positive)
        if not len(self.negative):
            found = self.class_vectors(positive)
            return found, torch.zeros_like(found)
        negative = self.encode_texts_with("negative" if own else "captions", self.negative)
        return self.class_vectors(positive), self.class_vectors(negative)

    def encode_texts(self) -> Tensor:
        """Return (classes, D): positive minus negative vector, what scores multiply."""
        positive, negative = self.class_pairs()
        return positive - negative

    def scores(self, batch: Batch) -> Tensor:
        """Return (batch, classes): (f t+ - f t-) / temperature (section 2.7)."""
        clips, classes = self.encode_clips(batch), self.encode_texts()
        with self._exactly():
            return clips @ classes.T / self.recipe.temperature

    # --- training ---------------------------------------------------------------------------

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return classification, by frames alone too, and alignment with captions (section 3)."""
        recipe = self.recipe
        vectors, present = self.encode_streams(batch)
        by_name = dict(zip(recipe.modalities, vectors.unbind(1), strict=True))
        if not self.own_sentences:
            with self._exactly():
                fused = self._fused(vectors, present)
                return {"alignment": self._alignment(fused, by_name["captions"], batch)}
        pairs = self.class_pairs()
        with self._exactly():
            terms = {"classes": self._class_loss(self._fused(vectors, present), pairs, batch)}
            if len(recipe.modalities) > 1 and "frames" in by_name:
                alone = self._class_loss(by_name["frames"], pairs, batch)
                terms["frames"] = recipe.frames_loss * alone
            if {"frames", "captions"} <= set(by_name):
                aligned = self._alignment(by_name["frames"], by_name["captions"], batch)
                terms["alignment"] = recipe.alignment_loss * aligned
        return terms

    def _class_loss(self, clips: Tensor, pairs: tuple[Tensor, Tensor], batch: Batch) -> Tensor:
        positive, negative = (clips @ texts.T for texts in pairs)
        recipe = self.recipe
        return pair_loss(positive, negative, batch.labels, recipe.temperature, recipe.pn_split)

    def _alignment(self, clips: Tensor, texts: Tensor, batch: Batch) -> Tensor:
        """Align clips with their captions, over the clips of all processes that have one."""
        place = self.recipe.modalities.index("captions")
        there = gather(batch["present"][:, place])
        tokens = gather(batch["captions"])[there]
        same = (tokens[:, None] == tokens[None]).all(-1)
        if self.own_sentences:
            labels = gather(batch.labels)[there]
            same |= labels[:, None] == labels[None]
        clips, texts = gather(clips)[there], gather(texts)[there]
        return aligned_loss(clips @ texts.T / self.recipe.temperature, same)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return matrices, which decay, and biases, norms, positions, which do not (section 5)."""
        named = [(name, p) for name, p in self.named_parameters() if p.requires_grad]
        free = {"temporal.summary", "temporal.positions"}
        matrices = [p for name, p in named if p.ndim > 1 and name not in free]
        rest = [p for name, p in named if p.ndim <= 1 or name in free]
        return [{"params": matrices}, {"params": rest, "weight_decay": 0.0}]


def sentence(words: str) -> str:
    """Return the sentence of a class, or of its negation (section 2.4)."""
    return f"A person with an expression of {words.replace('_', ' and ')}"


def pair_loss(
    positive: Tensor, negative: Tensor, labels: Tensor, temperature: float, split: bool = False
) -> Tensor:
    """Return the cross entropy of the differences, or the sum of both kinds' (section 3).

    Args:
        positive: (batch, classes) cosines with the positive sentences; ``negative`` likewise.
    """
    if not split:
        return functional.cross_entropy((positive - negative) / temperature, labels)
    by_positive = functional.cross_entropy(positive / temperature, labels)
    return by_positive + functional.cross_entropy(-negative / temperature, labels)


def aligned_loss(logits: Tensor, same: Tensor) -> Tensor:
    """Return the symmetric contrastive loss; clips that are the same do not repel each other.

    Args:
        logits: (clips, clips), rows clips, columns captions; none gives 0.
        same: (clips, clips) bool: of one class, or with one caption.
    """
    if not len(logits):
        return logits.sum()
    own = torch.arange(len(logits), device=logits.device)
    others = same & ~torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    kept = logits.masked_fill(others, float("-inf"))
    return (functional.cross_entropy(kept, own) + functional.cross_entropy(kept.T, own)) / 2
