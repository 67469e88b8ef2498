"""Learned context tokens in front of class texts, read by a frozen text tower (CoOp's prompts)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from expressway.core.errors import ConfigError
from expressway.networks.backbones import Backbone

INIT_STD = 0.02


class PromptLearner(nn.Module):
    """``tokens`` learned vectors per class behind the start token, then the class's text.

    The tower stays outside of the module: only ``context`` is saved.
    """

    ids: Tensor
    fixed: Tensor

    def __init__(self, backbone: Backbone, texts: Sequence[str], tokens: int) -> None:
        """Args: ``texts``: one per class; ``tokens``: length of the context.

        Raises:
            ConfigError: context and text are longer than the tower reads.
        """
        super().__init__()
        self._model = (backbone.model,)  # in a tuple, so that it is no submodule
        self.tokens = tokens
        ids = _with_room(backbone, texts, tokens)
        with torch.no_grad():
            embedded = token_embedding(backbone.model)(ids.to(backbone.device)).float()
        self.register_buffer("ids", ids.to(backbone.device), persistent=False)
        self.register_buffer("fixed", embedded, persistent=False)
        shape = (len(texts), tokens, embedded.shape[-1])
        self.context = nn.Parameter(INIT_STD * torch.randn(shape).to(backbone.device))

    def forward(self) -> Tensor:
        """Return (classes, D): the tower's text features, not normalised."""
        start, rest = self.fixed[:, :1], self.fixed[:, 1 + self.tokens :]
        embeddings = torch.cat([start, self.context, rest], dim=1)
        return encode_embedded(self._model[0], self.ids, embeddings).float()


def _with_room(backbone: Backbone, texts: Sequence[str], tokens: int) -> Tensor:
    """Return token ids (classes, length) with placeholders between start token and text.

    A placeholder is the text's first token: the ids only tell the tower where the text ends.
    """
    ids = backbone.tokenize(texts)
    padding = backbone.tokenize([""])[:, -1:]
    room = backbone.context_length - tokens
    if room < 2 or any(backbone.truncated(texts)) or bool((ids[:, room:] != padding).any()):
        raise ConfigError(
            f"{tokens} context tokens and the class texts are longer than the {ids.shape[1]} "
            f"tokens that {backbone.name} reads; shorten the texts or lower context_tokens"
        )
    return torch.cat([ids[:, :1], ids[:, 1:2].expand(-1, tokens), ids[:, 1:room]], dim=1)


def token_embedding(model: Any) -> nn.Module:
    """Return the layer of a CLIP that turns token ids into vectors.

    Raises:
        ConfigError: the text tower has none.
    """
    tower = getattr(model, "text", model)
    layer = getattr(tower, "token_embedding", None)
    if layer is None and hasattr(tower, "transformer"):
        layer = tower.transformer.get_input_embeddings()
    if not isinstance(layer, nn.Module):
        raise ConfigError("learned contexts need a text tower with token embeddings")
    return layer


def encode_embedded(model: Any, ids: Tensor, embeddings: Tensor) -> Tensor:
    """Encode texts of which the token vectors are given; gradients reach them.

    Positions, mask, pooling and projection are the tower's own, whatever its kind.

    Args:
        ids: (texts, length), where the tower looks for the end of a text.
        embeddings: (texts, length, width).
    """
    handle = token_embedding(model).register_forward_hook(lambda *_: embeddings)
    try:
        return model.encode_text(ids)
    finally:
        handle.remove()
