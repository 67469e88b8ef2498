"""Small trained modules inside the blocks of a frozen CLIP (docs/methods/finecliper.md, section 2).

The frozen tower is walked block by block and never registered, so that a method's ``state_dict``
holds adapters only. Their last layers start at zero: at first the output is frozen CLIP's.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from expressway.core.errors import ConfigError
from expressway.networks.backbones import PATCH_TOKENS_MISSING


class Adapter(nn.Module):
    """A(u) = u + W2 GELU(W1 u + b1) + b2; without ``skip`` the first u is left out."""

    def __init__(self, width: int, hidden: int, skip: bool) -> None:
        super().__init__()
        self.skip = skip
        self.down, self.up = nn.Linear(width, hidden), nn.Linear(hidden, width)
        nn.init.trunc_normal_(self.down.weight, std=0.02)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to (..., width)."""
        change = self.up(functional.gelu(self.down(x)))
        return x + change if self.skip else change


class ImageBlockAdapters(nn.Module):
    """What is trained in one block of an image tower.

    A serial adapter after attention, one beside the MLP, and for ``over_time`` a third one behind
    the block's own attention between the frames of a clip (AIM).
    """

    def __init__(
        self, width: int, hidden: int, scale: float, drop_path: float, over_time: bool
    ) -> None:
        super().__init__()
        self.scale, self.drop_path = scale, drop_path
        self.serial = Adapter(width, hidden, skip=True)
        # with a skip the block would start with scale * LN(x) too much
        self.parallel = Adapter(width, hidden, skip=False)
        self.over_time = Adapter(width, hidden, skip=False) if over_time else None

    def forward(self, block: Any, x: Tensor, frames: int, outputs: int | None = None) -> Tensor:
        """Map (batch * frames, tokens, width) to the first ``outputs`` tokens (default: all)."""
        if self.over_time is not None:
            x = x + self._drop(self.over_time(attention_over_time(block, x, frames)))
        normed = block.ln_1(x)
        x = x[:, :outputs]
        x = x + block.ls_1(self.serial(attention(block, normed[:, :outputs], normed)))
        normed = block.ln_2(x)
        joint = self._drop(self.scale * self.parallel(normed))
        return x + block.ls_2(block.mlp(normed)) + joint

    def _drop(self, x: Tensor) -> Tensor:
        """Leave the branch out for a share of the images (stochastic depth)."""
        if not self.training or not self.drop_path:
            return x
        kept = torch.rand(len(x), 1, 1, device=x.device) >= self.drop_path
        return x * kept / (1 - self.drop_path)


def attention(block: Any, queries: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return what a block's frozen attention makes of normalised tokens (batch, tokens, width).

    ``queries`` are the first tokens of ``keys``: only their states are wanted.
    """
    if hasattr(block, "attention"):
        return block.attention(queries, keys, keys, attn_mask=mask)  # type: ignore[no-any-return]
    attended = block.ln_attn(block.attn(keys, attn_mask=mask))
    return attended[:, : queries.shape[1]]  # type: ignore[no-any-return]


def attention_over_time(block: Any, x: Tensor, frames: int) -> Tensor:
    """Return the block's attention between equal places of a clip's frames.

    Args:
        x: (batch * frames, tokens, width).
    """
    tokens = x.shape[1]
    places = block.ln_1(x).unflatten(0, (-1, frames)).transpose(1, 2).flatten(0, 1)
    attended = attention(block, places, places)
    return attended.unflatten(0, (-1, tokens)).transpose(1, 2).flatten(0, 1)


class ImageAdapters(nn.Module):
    """A frozen image tower with adapters in all its blocks."""

    def __init__(
        self,
        model: Any,
        hidden: float,
        scale: float = 0.5,
        drop_path: float = 0.0,
        over_time: bool = False,
        checkpointing: bool = False,
    ) -> None:
        """Args: ``model``: open_clip's; ``hidden``: width of adapters, as a share if at most 1.

        Raises:
            ConfigError: the image tower is no open_clip vision transformer.
        """
        super().__init__()
        tower = image_tower(model)
        self._tower = (tower,)
        self.checkpointing = checkpointing
        width = tower.class_embedding.shape[-1]
        self.blocks = nn.ModuleList(
            ImageBlockAdapters(width, hidden_width(width, hidden), scale, drop_path, over_time)
            for _ in tower.transformer.resblocks
        )

    def forward(self, images: Tensor, frames: int) -> Tensor:
        """Map normalised images (batch * frames, 3, h, w) to (batch * frames, D), float32."""
        tower = self._tower[0]
        x = tower._embeds(images)
        outputs = [None] * (len(self.blocks) - 1) + [1 if _reads_class_token(tower) else None]
        for block, adapters, wanted in zip(
            tower.transformer.resblocks, self.blocks, outputs, strict=True
        ):
            x = _called(self, adapters, block, x, frames, wanted)
        pooled = tower._pool(x)[0]
        return (pooled if tower.proj is None else pooled @ tower.proj).float()


def image_tower(model: Any) -> Any:
    """Return the image tower of an open_clip model.

    Raises:
        ConfigError: it is no open_clip vision transformer, so it has no blocks to go through.
    """
    tower = model.visual
    if not (hasattr(tower, "class_embedding") and hasattr(tower, "transformer")):
        raise ConfigError(f"adapters need the blocks of the image tower; {PATCH_TOKENS_MISSING}")
    return tower


def hidden_width(width: int, setting: float) -> int:
    """Return the width of an adapter: a share of the tower's up to 1, a number above."""
    return round(width * setting) if setting <= 1 else int(setting)


def _reads_class_token(tower: Any) -> bool:
    """Return whether nothing but the class token leaves the tower: a cheaper last block."""
    return tower.attn_pool is None and tower.pool_type == "tok"


def _called(owner: Any, module: nn.Module, *inputs: Any) -> Tensor:
    """Call a module, keeping only its inputs for the backward pass where the owner says so."""
    if owner.checkpointing and owner.training:
        return checkpoint(module, *inputs, use_reentrant=False)
    return module(*inputs)


class TextBlockAdapter(nn.Module):
    """What is trained in one block of a text tower: a serial adapter after attention."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.serial = Adapter(width, hidden, skip=True)

    def forward(self, block: Any, x: Tensor, mask: Tensor | None) -> Tensor:
        """Map (texts, tokens, width) to the same shape."""
        normed = block.ln_1(x)
        x = x + block.ls_1(self.serial(attention(block, normed, normed, mask)))
        return x + block.ls_2(block.mlp(block.ln_2(x)))


class TextAdapters(nn.Module):
    """A frozen text tower with an adapter in each of its blocks."""

    def __init__(self, model: Any, hidden: float, checkpointing: bool = False) -> None:
        """Args: as for ``ImageAdapters``.

        Raises:
            ConfigError: the text tower is not CLIP's own transformer.
        """
        super().__init__()
        tower = text_tower(model)
        self._tower = (tower,)
        self.checkpointing = checkpointing
        width = tower.positional_embedding.shape[-1]
        self.blocks = nn.ModuleList(
            TextBlockAdapter(width, hidden_width(width, hidden))
            for _ in tower.transformer.resblocks
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map token ids (texts, context) to (texts, D), float32, not normalised."""
        tower = self._tower[0]
        ends = _ends(tower, tokens)
        # the mask hides what comes later: behind the last end there is nothing to compute
        length = int(ends.max()) + 1
        x = tower.token_embedding(tokens[:, :length]) + tower.positional_embedding[:length]
        mask = tower.attn_mask[:length, :length]
        for block, adapter in zip(tower.transformer.resblocks, self.blocks, strict=True):
            x = _called(self, adapter, block, x, mask)
        pooled = tower.ln_final(x[torch.arange(len(x), device=x.device), ends])
        projection = tower.text_projection
        if projection is None:
            return pooled.float()
        projected = projection(pooled) if callable(projection) else pooled @ projection
        return projected.float()


def text_tower(model: Any) -> Any:
    """Return the object that holds an open_clip model's text transformer.

    Raises:
        ConfigError: it is not CLIP's own, which reads from left to right up to an end token.
    """
    tower = getattr(model, "text", model)
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", None)
    causal = getattr(tower, "attn_mask", None) is not None
    ends = _pooling(tower) in ("argmax", "eos") and getattr(tower, "cls_emb", None) is None
    if blocks is None or not (causal and ends):
        raise ConfigError(
            f"adapters need CLIP's own text transformer, not {type(tower).__name__}; choose a "
            "backbone such as ViT-B-16/openai"
        )
    return tower


def _pooling(tower: Any) -> str:
    return str(getattr(tower, "text_pool_type", getattr(tower, "pool_type", "")))


def _ends(tower: Any, tokens: Tensor) -> Tensor:
    """Return (texts,): where the end token stands, whose state is the text's vector."""
    if _pooling(tower) == "argmax":
        return tokens.argmax(-1)
    end: Any = getattr(tower, "text_eos_id", getattr(tower, "eos_id", None))
    return tokens.eq(end).int().argmax(-1)
