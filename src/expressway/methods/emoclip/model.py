"""EmoCLIP: contrastive learning of face videos and what people wrote about them.

Foteinopoulou and Patras, FG 2024, arXiv 2310.16640. CLIP's image tower sees every frame, a small
transformer makes one vector of a clip, CLIP's loss pulls it towards the text tower's vector of
the clip's caption. Classes are then named by written descriptions. Towers are frozen and cached,
or tuned. Section numbers are those of docs/methods/emoclip.md.
"""

import hashlib
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from expressway.data.clips import Batch, Rows, Sample
from expressway.language.class_vectors import TextEncoder
from expressway.methods import base
from expressway.methods.base import Context
from expressway.methods.blocks.gather import gather
from expressway.methods.blocks.towers import TextTower, required
from expressway.methods.blocks.video import VideoMethod
from expressway.methods.emoclip.recipe import Description, Recipe


class EmoCLIP(Description, VideoMethod[Recipe]):
    """A temporal transformer on CLIP's frames, trained on captions or class texts."""

    text_tokens: Tensor
    _classes: Tensor | None = None

    def __init__(self, recipe: Recipe, context: Context) -> None:
        super().__init__(recipe, context)
        # section 2: a trained copy of the backbone's scale, never clamped
        self.logit_scale = nn.Parameter(torch.tensor(context.logit_scale))
        self.register_buffer("text_tokens", torch.zeros(0, dtype=torch.int64), persistent=False)
        if self.reads_texts:
            self.text = TextTower(required(context.backbone, self.name))

    @property
    def reads_texts(self) -> bool:
        """Whether the text tower is trained, so that texts are token ids and not cached vectors."""
        return self.recipe.tune == "visual_text"

    def towers(self) -> list[nn.Module]:
        """Return the tuned towers: the image tower, or both."""
        return [*super().towers(), *([self.text] if self.reads_texts else [])]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return temporal module, logit scale and tuned towers: step sizes may differ."""
        rate = self.recipe.learning_rate
        return [
            {"params": list(self.temporal.parameters()), "lr": rate},
            {"params": [self.logit_scale], "lr": rate * self.recipe.scale_rate},
            *self.tower_groups(),
        ]

    def sample(self, rows: Rows, random: np.random.Generator, training: bool) -> Sample:
        """Return ``frames``: (frames, D) cached features, or uint8 (frames, 3, height, width).

        In caption training also ``text``, (D,) or token ids (context,), and ``text_id`` ().
        """
        sample = {"frames": self.frames(rows, random, training)}
        if training and "text_embeddings" in rows:
            sample |= self._caption(rows["text_embeddings"], random)
        return sample

    def _caption(self, row: Any, random: np.random.Generator) -> dict[str, Tensor]:
        """Return one of a clip's phrasings and a number that equal texts share."""
        chosen = int(random.integers(len(row["texts"])))
        text = row["texts"][chosen]
        if self.reads_texts:
            value = required(self.context.backbone, self.name).tokenize([text])[0]
        else:
            value = torch.from_numpy(np.asarray(row["embeddings"][chosen], dtype=np.float32))
        digest = hashlib.blake2b(text.encode(), digest_size=7).digest()
        return {"text": value, "text_id": torch.tensor(int.from_bytes(digest, "little"))}

    def read_prompts(self, encoder: TextEncoder) -> None:
        """Encode the class texts with the frozen tower, or keep their token ids for the tuned."""
        super().read_prompts(encoder)
        if self.reads_texts:
            backbone = required(self.context.backbone, self.name)
            tokens = backbone.tokenize([text for text, _ in self.sentences()])
            self.text_tokens = tokens.to(self.text_features.device)

    def train(self, mode: bool = True) -> Self:
        """Enter training or inference; a tuned tower's class vectors are computed anew."""
        self._classes = None
        return super().train(mode)

    def encode_clips(self, batch: Batch) -> Tensor:
        """Return (batch, D) unit vectors (section 2, steps 1 to 6)."""
        return functional.normalize(self.video_vectors(batch), dim=-1)

    def encode_texts(self) -> Tensor:
        """Return (classes, D): one unit vector per class; a tuned tower reads them.

        In inference it does so once.
        """
        if not self.reads_texts:
            return super().encode_texts()
        if self.training:
            return self.class_vectors(self.text(self.text_tokens))
        if self._classes is None:
            with torch.no_grad():
                self._classes = self.class_vectors(self.text(self.text_tokens))
        return self._classes

    def scores(self, batch: Batch) -> Tensor:
        """Return (batch, classes): exp(s) times the cosines to the class texts (section 2)."""
        return self.logit_scale.exp() * self.encode_clips(batch) @ self.encode_texts().T

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """CLIP's symmetric loss against captions or class descriptions (section 3)."""
        texts, text_id = (gather(part) for part in self._texts(batch))
        logits = self.logit_scale.exp() * gather(self.encode_clips(batch)) @ texts.T
        groups = text_id if self.recipe.soft_targets else torch.arange(len(logits)).to(text_id)
        return {"contrastive": base.symmetric_contrastive(logits, base.matching_targets(groups))}

    def _texts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return unit text vectors (batch, D) and a number per text, equal for equal texts."""
        if self.trains_on_class_texts(self.context.protocol):
            return self.encode_texts()[batch.labels], batch.labels
        texts = self.text(batch["text"]) if self.reads_texts else batch["text"]
        return functional.normalize(texts, dim=-1), batch["text_id"]
