"""EmoCLIP's released checkpoints: their key names, and a model folder made of one.

A full release holds the temporal module, the scale and the whole frozen CLIP in OpenAI's layout,
each key behind ``module.``; a downstream one the temporal module, the head without its last layer
and the image tower (section 9 of the method's page).
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from expressway.core.errors import ConfigError
from expressway.core.fingerprints import file_digest
from expressway.methods.releases.files import publish, read_state, some, write_backbone
from expressway.networks import backbones

TEMPORAL = "temporal."
BACKBONE = "backbone."
# the downstream head: their name -> ours; its last layer, where there, has outputs without names
HEAD = {"mlp.0.weight": "head.0.weight", "mlp.0.bias": "head.0.bias"}
LAST_LAYER = ("mlp.2.weight", "mlp.2.bias")
LAYER = re.compile(r"temporal\.temporal_transformer\.layers\.(\d+)\.")
RELEASED_HEAD_DIM = 2048
RELEASED_SCALE = math.log(100.0)

# within a block: their name -> ours
BLOCK_NAMES = {
    "0.fn.norm.weight": "norm_attention.weight",
    "0.fn.norm.bias": "norm_attention.bias",
    "0.fn.fn.to_qkv.weight": "qkv.weight",
    "0.fn.fn.to_out.0.weight": "out.weight",
    "0.fn.fn.to_out.0.bias": "out.bias",
    "1.fn.norm.weight": "norm_mlp.weight",
    "1.fn.norm.bias": "norm_mlp.bias",
    "1.fn.fn.net.0.weight": "mlp_in.weight",
    "1.fn.fn.net.0.bias": "mlp_in.bias",
    "1.fn.fn.net.3.weight": "mlp_out.weight",
    "1.fn.fn.net.3.bias": "mlp_out.bias",
}


def temporal_names(depth: int) -> dict[str, str]:
    """Return the release's names of the temporal module's tensors -> ours."""
    blocks = {
        f"temporal_transformer.layers.{block}.{theirs}": f"blocks.{block}.{ours}"
        for block in range(depth)
        for theirs, ours in BLOCK_NAMES.items()
    }
    return {"cls_token": "summary", "pos_embedding": "positions", **blocks}


def convert(state: Mapping[str, Tensor], where: str) -> tuple[dict[str, Tensor], int]:
    """Return our method's state dict and the depth found in the release.

    Raises:
        ConfigError: names are missing or unexpected, or widths are not the released ones.
    """
    depth = 1 + max((int(m[1]) for m in map(LAYER.match, state) if m), default=0)
    names = {TEMPORAL + theirs: TEMPORAL + ours for theirs, ours in temporal_names(depth).items()}
    names |= HEAD if is_downstream(state) else {"logit_scale": "logit_scale"}
    missing = sorted(set(names) - set(state))
    known = {*names, *(LAST_LAYER if is_downstream(state) else ())}
    unexpected = sorted(k for k in state if k not in known and not k.startswith(BACKBONE))
    if missing or unexpected:
        raise ConfigError(
            f"{where}: not an EmoCLIP checkpoint; missing: {some(missing)}; "
            f"unexpected: {some(unexpected)}; expected temporal.* and backbone.*, beside them "
            "logit_scale or, of a downstream head, mlp.0.*, with or without module. in front"
        )
    converted = {ours: state[theirs].float() for theirs, ours in names.items()}
    _check_widths(converted, where)
    return converted, depth


def is_downstream(state: Mapping[str, Tensor]) -> bool:
    """Return whether a checkpoint is of the downstream head."""
    return any(key.startswith("mlp.") for key in state)


def _check_widths(state: Mapping[str, Tensor], where: str) -> None:
    """Raise when the checkpoint has other widths than the release (section 2, quirk A)."""
    rows, dim = state["temporal.blocks.0.qkv.weight"].shape
    hidden = state["temporal.blocks.0.mlp_in.weight"].shape[0]
    if rows % (3 * RELEASED_HEAD_DIM) or hidden != dim:
        raise ConfigError(
            f"{where}: qkv has {rows} rows and the MLP is {hidden} wide; a release of width {dim} "
            f"has heads of {RELEASED_HEAD_DIM} and an MLP of {dim}"
        )


def import_release(file: Path, out: Path, backbone: str | None = None) -> Path:
    """Write a release as a model folder; return the folder.

    The widths are the released ones whatever the configuration says. A full release can be
    evaluated; the frozen CLIP inside it is written beside it as ``backbone/`` (open_clip's folder
    layout), unless ``backbone`` names one to use instead. A downstream release becomes a model of
    ``downstream`` without a last layer, which other models start from.

    Raises:
        ConfigError: the file is no EmoCLIP release; names what is missing and unexpected. Or it
            is a downstream release, which holds no text tower, and no backbone is named.
    """
    state = read_state(file, "an EmoCLIP checkpoint")
    converted, depth = convert(state, str(file))
    tower = {k.removeprefix(BACKBONE): v for k, v in state.items() if k.startswith(BACKBONE)}
    facts = _facts_downstream if is_downstream(state) else _facts_full
    own = facts(converted, tower, out, backbone, file)
    return publish(
        out,
        converted,
        file,
        recipe=_recipe(converted, depth),
        parameters=_sizes(converted, tower),
        **own,
    )


def _facts_full(
    state: Mapping[str, Tensor],
    tower: Mapping[str, Tensor],
    out: Path,
    backbone: str | None,
    file: Path,
) -> dict[str, Any]:
    weights = None if backbone else write_backbone(tower, out / "backbone", str(file))
    found = {
        "model": backbone or f"local-dir:{(out / 'backbone').as_posix()}",
        "sha256": file_digest(weights) if weights else None,
        "dim": state["temporal.summary"].shape[-1],
        "logit_scale": float(state["logit_scale"]),
    }
    model = {"model": "emoclip-release", "method": "emoclip", "protocol": "zero_shot"}
    return {**model, "backbone": found}


def _facts_downstream(
    state: Mapping[str, Tensor],
    tower: Mapping[str, Tensor],
    out: Path,
    backbone: str | None,
    file: Path,
) -> dict[str, Any]:
    dim = state["temporal.summary"].shape[-1]
    if backbone is None:
        raise ConfigError(
            f"{file}: a downstream checkpoint holds the image tower only; name the CLIP that it "
            "was made with: --backbone ViT-B-32/openai"
        )
    if dim != backbones.embedding_width(backbone):
        raise ConfigError(
            f"{file}: made with a CLIP of width {dim}, {backbone} has "
            f"{backbones.embedding_width(backbone)}; the release used ViT-B-32/openai"
        )
    found = {"model": backbone, "sha256": None, "dim": dim, "logit_scale": RELEASED_SCALE}
    model = {"model": "emoclip-downstream", "method": "downstream", "protocol": "regression"}
    return {**model, "backbone": found}


def _recipe(state: Mapping[str, Tensor], depth: int) -> dict[str, Any]:
    """Return the recipe of a release: its widths follow from ``published`` (quirk A)."""
    head = state.get("head.0.weight")
    return {
        **({} if head is None else {"hidden": len(head)}),
        "published": True,
        "depth": depth,
        "heads": state["temporal.blocks.0.qkv.weight"].shape[0] // (3 * RELEASED_HEAD_DIM),
        "mlp_dim": RELEASED_HEAD_DIM,
        "position_rows": state["temporal.positions"].shape[1],
        # its evaluation scripts keep every 4th frame
        "frame_step": 4,
    }


def _sizes(temporal: Mapping[str, Tensor], tower: Mapping[str, Tensor]) -> dict[str, int]:
    trainable = sum(value.numel() for value in temporal.values())
    return {"trainable": trainable, "total": trainable + sum(v.numel() for v in tower.values())}
