"""The interface that all methods share.

A method is one file: a ``Recipe``, modules, and four functions that read like its paper:
``encode_clips``, ``encode_texts``, ``scores``, ``loss``. It declares which stores it reads and
which protocols it can run; training, prediction and evaluation are the same for all.
"""

import abc
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from expressway.core.errors import ConfigError
from expressway.data.clips import Batch, ClipStores, Rows, Sample
from expressway.language.class_vectors import TextEncoder
from expressway.language.prompts import components
from expressway.methods.description import Description, Recipe
from expressway.networks.backbones import Backbone


@dataclass(frozen=True)
class Context:
    """What a method knows beside its recipe: the classes, their texts, the backbone's measures.

    Attributes:
        dim: D, width of the backbone's joint space.
        labels: class names in order; class ``i`` of a tensor is ``labels[i]``. Under the protocol
            ``regression`` the names of the targets.
        prompts: class name -> its texts.
        logit_scale: the backbone's logarithmic temperature (ln 100 in OpenAI's weights).
        backbone: the frozen CLIP, for methods that go through its towers; its weights stay
            outside the method's ``state_dict``.
    """

    dim: int
    labels: tuple[str, ...]
    protocol: str
    prompts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    logit_scale: float = math.log(100.0)
    backbone: Backbone | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that texts are asked for: under ``compound`` the components of the labels."""
        if self.protocol != "compound":
            return self.labels
        return tuple(dict.fromkeys(part for label in self.labels for part in components(label)))


def unit_vectors(vectors: Tensor) -> Tensor:
    """Return vectors (n, D) with length 1."""
    return functional.normalize(vectors, dim=-1)


R = TypeVar("R", bound=Recipe)


class Method(Description, nn.Module, abc.ABC, Generic[R]):
    """A recogniser of expressions on clips; its description is in the recipe.py beside it."""

    text_features: Tensor
    text_owner: Tensor

    def __init__(self, recipe: R, context: Context) -> None:
        super().__init__()
        self.check_protocol(context.protocol)
        self.recipe, self.context = recipe, context
        self.register_buffer("text_features", torch.zeros(0, context.dim), persistent=False)
        self.register_buffer("text_owner", torch.zeros(0, dtype=torch.int64), persistent=False)

    def replaced(self) -> int:
        """Return how many of the backbone's weights it has copies of its own in place of."""
        return 0

    def check_stores(self, stores: ClipStores) -> None:
        """Raise ConfigError when a store was made otherwise than the recipe needs."""

    @abc.abstractmethod
    def sample(self, rows: Rows, random: np.random.Generator, training: bool) -> Sample:
        """Return the tensors of one clip, the same names and shapes for every clip."""

    @abc.abstractmethod
    def encode_clips(self, batch: Batch) -> Tensor:
        """Return (batch, D): one vector per clip."""

    @abc.abstractmethod
    def scores(self, batch: Batch) -> Tensor:
        """Return (batch, classes): higher means more likely, in label order."""

    def known_scores(self, scores: Tensor) -> Tensor:
        """Return (batch,): how sure it is that a clip shows one of the known classes.

        Args:
            scores: (batch, classes) as ``scores`` gives them.
        """
        return scores.max(dim=-1).values

    @abc.abstractmethod
    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the named terms of the loss, weighted; training minimises their sum."""

    def encode_texts(self) -> Tensor:
        """Return (classes, D): one unit vector per class."""
        return self.class_vectors(self.text_features)

    def class_vectors(self, features: Tensor) -> Tensor:
        """Return (classes, D) unit vectors of the class texts' features (texts, D).

        Ensemble rule: a class's texts are normalised, averaged, and normalised again.
        """
        texts = functional.normalize(features, dim=-1)
        classes = torch.zeros(len(self.context.classes), texts.shape[-1]).to(texts)
        summed = classes.index_add(0, self.text_owner, texts)
        return self.joined(functional.normalize(summed, dim=-1))

    def joined(self, vectors: Tensor, unit: Callable[[Tensor], Tensor] = unit_vectors) -> Tensor:
        """Return (labels, D): under ``compound`` the normalised means of the labels' components.

        Args:
            vectors: (classes, D) of length 1, one for each of ``context.classes``.
            unit: how a method normalises.
        """
        if self.context.protocol != "compound":
            return vectors
        place = {name: index for index, name in enumerate(self.context.classes)}
        means = [
            vectors[[place[name] for name in components(label)]].mean(0)
            for label in self.context.labels
        ]
        return unit(torch.stack(means))

    def read_prompts(self, encoder: TextEncoder) -> None:
        """Encode the class texts of the context once, with the frozen text tower.

        Raises:
            ConfigError: a class has no text.
        """
        texts, owners = zip(*self.sentences(), strict=True)
        self.text_features = encoder.encode_texts(list(texts)).to(self.text_features.device)
        self.text_owner = torch.tensor(owners).to(self.text_owner.device)

    def sentences(self) -> list[tuple[str, int]]:
        """Return all class texts, each with the place of its class in ``context.classes``.

        Raises:
            ConfigError: a class has no text.
        """
        classes = self.context.classes
        missing = [name for name in classes if not self.context.prompts.get(name)]
        if missing:
            raise ConfigError(f"no class text for {', '.join(missing)}; add it to the prompt set")
        return [(text, i) for i, name in enumerate(classes) for text in self.prompts(name)]

    def prompts(self, label: str) -> tuple[str, ...]:
        """Return the texts of a class."""
        return tuple(self.context.prompts[label])

    def begin(self, batches: Iterable[Batch]) -> None:
        """Look at the training part once before the first step (statistics for buffers)."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the tensors that training changes, with options of their own where they differ."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def optimiser(self) -> torch.optim.Optimizer:
        """Return the recipe's optimiser over ``parameter_groups``."""
        recipe, groups = self.recipe, self.parameter_groups()
        if recipe.optimiser == "sgd":
            return torch.optim.SGD(
                groups,
                lr=recipe.learning_rate,
                momentum=recipe.momentum,
                weight_decay=recipe.weight_decay,
            )
        if recipe.optimiser == "adamw":
            return torch.optim.AdamW(
                groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
            )
        # a method that offers lbfgs adds the L2 term to its loss: torch's LBFGS has no decay
        return torch.optim.LBFGS(
            groups, lr=recipe.learning_rate, max_iter=20, line_search_fn="strong_wolfe"
        )


def largest(scores: Tensor, rule: Literal["max_softmax", "max_logit"]) -> Tensor:
    """Return (batch,): the largest probability or the largest score of (batch, classes).

    The two open-set baselines: Hendrycks and Gimpel, ICLR 2017, arXiv 1610.02136, and its logits.
    """
    values = scores.softmax(dim=-1) if rule == "max_softmax" else scores
    return values.max(dim=-1).values


def symmetric_contrastive(logits: Tensor, targets: Tensor) -> Tensor:
    """Return half the sum of both directions' cross entropies (CLIP's loss).

    Args:
        logits: (batch, batch), rows clips, columns texts.
        targets: (batch, batch), each row a distribution over texts; the identity for plain CLIP.
    """
    by_clip = functional.cross_entropy(logits, targets)
    by_text = functional.cross_entropy(logits.T, targets.T / targets.T.sum(-1, keepdim=True))
    return (by_clip + by_text) / 2


def matching_targets(groups: Tensor) -> Tensor:
    """Return (batch, batch) rows that spread their weight over all equal members of ``groups``."""
    same = (groups[:, None] == groups[None, :]).float()
    return same / same.sum(-1, keepdim=True)
