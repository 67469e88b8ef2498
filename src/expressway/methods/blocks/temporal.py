"""A small transformer over the frames of a clip (EmoCLIP section 2; DFER-CLIP has the same one)."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Pre-norm attention and MLP, each with a residual connection.

    The query, key and value maps have no bias, GELU is the tanh approximation.
    """

    def __init__(self, dim: int, heads: int, head_dim: int, mlp_dim: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_dim, self.dropout = heads, head_dim, dropout
        self.norm_attention = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * heads * head_dim, bias=False)
        self.out = nn.Linear(heads * head_dim, dim)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp_in = nn.Linear(dim, mlp_dim)
        self.mlp_out = nn.Linear(mlp_dim, dim)

    def forward(self, x: Tensor, outputs: int | None = None) -> Tensor:
        """Map (batch, tokens, dim) to the first ``outputs`` tokens (default: all of them)."""
        normed = self.norm_attention(x)
        x = x[:, :outputs]
        x = x + self._drop(self.out(self._attention(normed[:, :outputs], normed)))
        hidden = functional.gelu(self.mlp_in(self.norm_mlp(x)), approximate="tanh")
        return x + self._drop(self.mlp_out(self._drop(hidden)))

    def _attention(self, reading: Tensor, x: Tensor) -> Tensor:
        """Return (batch, reading, heads * head_dim); ``reading`` tokens attend to all of ``x``."""
        inner = self.heads * self.head_dim
        query = self._heads(functional.linear(reading, self.qkv.weight[:inner]))
        key_value = functional.linear(x, self.qkv.weight[inner:])
        key, value = (self._heads(part) for part in key_value.split(inner, dim=-1))
        mixed = functional.scaled_dot_product_attention(
            query, key, value, dropout_p=self.dropout if self.training else 0.0
        )
        return mixed.transpose(1, 2).flatten(2)

    def _heads(self, x: Tensor) -> Tensor:
        """Split (batch, tokens, heads * head_dim) into (batch, heads, tokens, head_dim)."""
        return x.unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training)


class TemporalTransformer(nn.Module):
    """A learned summary token looks at all frames of a clip; its last state is the clip."""

    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        head_dim: int,
        mlp_dim: int,
        rows: int,
        dropout: float = 0.0,
        init_std: float = 1.0,
    ) -> None:
        """Args: ``rows``: length of the position table, at least frames + 1."""
        super().__init__()
        self.summary = nn.Parameter(init_std * torch.randn(1, 1, dim))
        self.positions = nn.Parameter(init_std * torch.randn(1, rows, dim))
        self.blocks = nn.ModuleList(
            Block(dim, heads, head_dim, mlp_dim, dropout) for _ in range(depth)
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Map (batch, frames, dim) to (batch, dim): position 0, without a final norm."""
        batch, count, _ = frames.shape
        x = torch.cat([self.summary.expand(batch, -1, -1), frames], dim=1)
        x = x + self.positions[:, : count + 1]
        for index, block in enumerate(self.blocks):
            # nobody reads the frames' last states: computing only position 0 halves the work
            x = block(x, outputs=1 if index + 1 == len(self.blocks) else None)
        return x[:, 0]
