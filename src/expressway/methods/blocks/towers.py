"""Copies of a CLIP's towers that training may change; the frozen CLIP itself stays as it is.

They are kept in full precision: steps of 1e-6 vanish in half precision (EmoCLIP section 2).
"""

import copy

from torch import Tensor, nn

from expressway.core.errors import ConfigError
from expressway.networks.backbones import Backbone


def required(backbone: Backbone | None, method: str) -> Backbone:
    """Return the backbone.

    Raises:
        ConfigError: there is none, so there is nothing to copy.
    """
    if backbone is None:
        raise ConfigError(f"{method}: a tuned tower needs the backbone; name it in the model")
    return backbone


def visual_tower(backbone: Backbone) -> nn.Module:
    """Return a copy of the image tower, float32, all of it trainable."""
    return copy.deepcopy(backbone.model.visual).float().requires_grad_(True)


class TextTower(nn.Module):
    """The text tower with transformer blocks of its own.

    Embeddings, positions, final norm and projection stay the backbone's: they are neither
    trained nor saved.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        owner = getattr(backbone.model, "text", backbone.model)
        self.transformer = copy.deepcopy(owner.transformer).float().requires_grad_(True)
        reader = copy.copy(owner)
        reader._modules = {**owner._modules, "transformer": self.transformer}
        # in a tuple, since a module would be registered and its frozen weights saved
        self._reader = (reader,)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map token ids (texts, context) to (texts, D), not normalised."""
        reader = self._reader[0]
        encode = getattr(reader, "encode_text", reader)
        return encode(tokens).float()  # type: ignore[no-any-return]
