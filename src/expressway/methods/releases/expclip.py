"""Exp-CLIP's released heads: files with the single tensor ``mlp.weight`` (section 8)."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from expressway.core.errors import ConfigError
from expressway.methods.expclip.model import RELEASED_PIXELS
from expressway.methods.releases.files import publish, read_state, some
from expressway.networks import backbones

KEY = "mlp.weight"
# OpenAI's CLIPs, the only backbones of the release, end at this temperature
LOGIT_SCALE = math.log(100.0)
LARGE = (768, "ViT-L-14/openai")


def import_release(file: Path, out: Path, backbone: str | None = None) -> Path:
    """Write a released head as a model folder that evaluations load; return the folder.

    The recipe is ``published``, which demands features of unnormalised, squashed pixels.

    Args:
        backbone: the CLIP that the head was trained on. The file does not tell ViT-B/32 from
            ViT-B/16; None is understood for ViT-L/14 only.

    Raises:
        ConfigError: the file is no released head, or it does not fit the backbone.
    """
    weight = _head(file)
    rows, width = weight.shape
    named = backbone or _guess(width, file)
    _check_width(width, named, file)
    return publish(
        out,
        {"projection.weight": weight},
        file,
        model="expclip-release",
        method="expclip",
        recipe={"published": True, "teacher_dim": rows},
        backbone={"model": named, "sha256": None, "dim": width, "logit_scale": LOGIT_SCALE},
        protocol="zero_shot",
        parameters={"trainable": weight.numel(), "total": weight.numel() + _tower_size(named)},
        stores={"visual_features": {"backbone": named, **RELEASED_PIXELS}},
    )


def _head(file: Path) -> Tensor:
    """Return the (T, D) float32 map of a release."""
    state = read_state(file, "a released head of Exp-CLIP")
    missing = [] if KEY in state else [KEY]
    unexpected = sorted(set(state) - {KEY})
    if missing or unexpected:
        raise ConfigError(
            f"{file}: not a head of Exp-CLIP; missing: {some(missing)}; "
            f"unexpected: {some(unexpected)}; expected the single tensor {KEY}"
        )
    return _matrix(state, file)


def _matrix(state: Mapping[str, Tensor], file: Path) -> Tensor:
    weight = state[KEY]
    if weight.ndim != 2 or not torch.isfinite(weight).all():
        raise ConfigError(
            f"{file}: {KEY} is {tuple(weight.shape)}; expected a finite matrix, 4096 x 512 or "
            "4096 x 768"
        )
    return weight.float().contiguous()


def _guess(width: int, file: Path) -> str:
    if width == LARGE[0]:
        return LARGE[1]
    raise ConfigError(
        f"{file}: the head is for a CLIP of width {width}, which does not say which one; name it: "
        "--backbone ViT-B-32/openai or --backbone ViT-B-16/openai"
    )


def _check_width(width: int, backbone: str, file: Path) -> None:
    expected = backbones.embedding_width(backbone)
    if width != expected:
        raise ConfigError(
            f"{file}: the head is for a CLIP of width {width}, {backbone} has {expected}; name the "
            "backbone it was trained on: 512 is ViT-B-32 or ViT-B-16, 768 is ViT-L-14"
        )


def _tower_size(backbone: str) -> int:
    """Return how many parameters a CLIP has, without its weights."""
    import open_clip

    measures = dict(backbones.description(backbone)["model_cfg"])
    kind = open_clip.CustomTextCLIP if measures.pop("custom_text", False) else open_clip.CLIP
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in kind(**measures).parameters())
