"""Frames and window as HESP's release takes them (``published``)."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from expressway.core.errors import ConfigError
from expressway.data.patch_windows import hot_spot, side
from expressway.data.sampling import Indices
from expressway.media.sampling import middles
from expressway.networks.backbones import PATCH_TOKENS_MISSING, Backbone


def released_frames(count: int, frames: int, random: np.random.Generator | None) -> Indices:
    """Return (frames,) frames as the release draws them (section 4).

    Its parts are whole numbers long in training, so the end of a clip is never seen; of a clip
    that is too short the first frame is taken each time.
    """
    order = np.arange(frames)
    if random is None:
        return middles(count, frames) if count > frames else 0 * order
    length = count // frames
    return order * length + random.integers(length, size=frames) if length else 0 * order


def released_window(backbone: Backbone, frame: Tensor, names: list[str]) -> Tensor:
    """Return (2,): where the release puts the patch for a whole run (section 2.3).

    A linear map that nobody trained weighs the channels of the first convolution.

    Args:
        frame: (1, 3, height, width) in [0, 1].

    Raises:
        ConfigError: the image tower has no patch embedding.
    """
    convolution = getattr(backbone.model.visual, "conv1", None)
    if convolution is None or not hasattr(backbone.model.visual, "class_embedding"):
        raise ConfigError(PATCH_TOKENS_MISSING)
    weights = nn.Linear(convolution.out_channels, len(names)).weight
    clip, texts = backbone.encode_images(frame), backbone.encode_texts(names)
    best = (functional.normalize(texts, dim=-1) @ clip[0]).argmax()
    with torch.no_grad():
        patches = convolution(frame.to(backbone.device))[0].cpu()
        heat = torch.einsum("c,chw->hw", weights[best], patches)
    half, size = side(backbone.image_size) // 2, backbone.image_size
    return torch.from_numpy(hot_spot(heat.numpy(), size)).clamp(half, size - half - 1)
