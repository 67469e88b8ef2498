"""Text encoders: any encoder that transformers knows (T5, BERT family, sentence encoders)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from expressway.core.errors import ConfigError
from expressway.networks.precision import Precision, check_device
from expressway.networks.pretrained import source

if TYPE_CHECKING:
    from torch import Tensor

KIND = "text encoder"
Pooling = Literal["mean", "first", "pooled"]


class TextEncoder(Protocol):
    """What turns texts into vectors; a CLIP backbone is one as well."""

    @property
    def name(self) -> str:
        """The name that the configuration knows it by."""

    @property
    def dim(self) -> int:
        """D, the width of a vector."""

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Return un-normalised float32 ``(n, D)``."""

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """Return for each text whether it is longer than the encoder reads."""


def text_width(model: str) -> int:
    """Return D of a transformers model (folder or hub id) without loading its weights.

    Raises:
        SystemicError: its ``config.json`` is neither local nor reachable.
    """
    return int(_config(model).get_text_config().hidden_size)


def load(
    model: str,
    device: str = "cpu",
    precision: Precision = "fp32",
    pooling: Pooling = "mean",
    max_tokens: int = 512,
) -> TransformersEncoder:
    """Load a frozen text encoder; code that comes with a model is never run.

    Args:
        model: a folder that ``save_pretrained`` wrote, or a hub id such as google/flan-t5-xl.
        pooling: ``mean`` over real tokens, ``first`` token, or the model's own ``pooled`` output.
        max_tokens: longer texts are cut.

    Raises:
        SystemicError: model or device are not there.
    """
    check_device(device)
    network = _network(model, precision).to(device).eval().requires_grad_(False)
    return TransformersEncoder(model, network, _tokenizer(model), pooling, max_tokens)


class TransformersEncoder:
    """A frozen transformers encoder with its pooling."""

    def __init__(
        self, name: str, network: Any, tokenizer: Any, pooling: Pooling, max_tokens: int
    ) -> None:
        self.name = name
        self.dim = int(network.config.get_text_config().hidden_size)
        self._network = network
        self._tokenizer = tokenizer
        self._pooling = pooling
        self._max_tokens = min(max_tokens, _positions(network.config), tokenizer.model_max_length)

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """Return for each text whether it has more than ``max_tokens`` tokens."""
        return [len(self._tokenizer(text)["input_ids"]) > self._max_tokens for text in texts]

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Return un-normalised float32 ``(n, D)``; padding has no influence.

        Raises:
            ConfigError: ``pooled`` was asked of a model without a pooled output.
        """
        import torch

        if not texts:
            return torch.zeros(0, self.dim, device=self._network.device)
        tokens = self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self._max_tokens,
            return_tensors="pt",
        ).to(self._network.device)
        mask = tokens["attention_mask"]
        with torch.no_grad():
            output = self._network(input_ids=tokens["input_ids"], attention_mask=mask)
        return self._pool(output, mask)

    def _pool(self, output: Any, mask: Tensor) -> Tensor:
        if self._pooling == "pooled":
            if getattr(output, "pooler_output", None) is None:
                raise ConfigError(f"{self.name} has no pooled output; use pooling: mean or first")
            return output.pooler_output.float()
        states = output.last_hidden_state.float()
        return states[:, 0] if self._pooling == "first" else masked_mean(states, mask)


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Average ``(n, tokens, D)`` over the tokens whose mask ``(n, tokens)`` is 1."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1.0)


def _positions(config: Any) -> int:
    """Return how many tokens the model has positions for (T5 has relative ones: no limit)."""
    found = getattr(config.get_text_config(), "max_position_embeddings", None)
    # RoBERTa-like models count positions from behind the padding index
    offset = 2 if config.model_type in ("roberta", "xlm-roberta", "camembert") else 0
    return int(found) - offset if found else 1 << 30


def _config(model: str) -> Any:
    from transformers import AutoConfig

    with source(KIND, model) as where:
        return AutoConfig.from_pretrained(**where)


def _tokenizer(model: str) -> Any:
    from transformers import AutoTokenizer

    with source(KIND, model) as where:
        tokenizer = AutoTokenizer.from_pretrained(**where)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _network(model: str, precision: Precision) -> Any:
    """Load only the encoder where a model also has a decoder."""
    import torch
    from transformers import AutoModel, AutoModelForTextEncoding
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING

    config = _config(model)
    encoder_only = type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING
    loader = AutoModelForTextEncoding if encoder_only else AutoModel
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with source(KIND, model) as where:
        network = loader.from_pretrained(**where, dtype=dtype)
    has_decoder = getattr(config, "is_encoder_decoder", False) and not encoder_only
    return network.get_encoder() if has_decoder else network
