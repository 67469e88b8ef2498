"""EmoCLIP's released checkpoints: their key names, and a model folder made of one.

A full release holds the temporal module, the scale and the whole frozen CLIP in OpenAI's layout,
each key behind ``module.``; a downstream one the temporal module, the head without its last layer
and the image tower (section 9 of the method's page).
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expressway import backbones
from expressway.data.cards import WEIGHTS, ModelCard
from expressway.errors import ConfigError
from expressway.provenance import file_digest, package_versions
from expressway.store import atomic_path

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


def read_state(file: Path) -> dict[str, Tensor]:
    """Return a checkpoint's tensors without the ``module.`` prefix; no code in it is run.

    Raises:
        ConfigError: the file is missing or no state dict.
    """
    if not file.is_file():
        raise ConfigError(f"{file}: no such file; expected an EmoCLIP checkpoint (.pth)")
    try:
        state = _load(file)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{file}: cannot be read as a state dict: {reason}") from error
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ConfigError(f"{file}: expected a mapping of names to tensors (a state dict)")
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def _load(file: Path) -> Any:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    return torch.load(file, map_location="cpu", weights_only=True)


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
            f"{where}: not an EmoCLIP checkpoint; missing: {_some(missing)}; "
            f"unexpected: {_some(unexpected)}; expected temporal.* and backbone.*, beside them "
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


def _some(names: list[str], limit: int = 8) -> str:
    shown = ", ".join(names[:limit]) or "none"
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


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
    state = read_state(file)
    converted, depth = convert(state, str(file))
    tower = {k.removeprefix(BACKBONE): v for k, v in state.items() if k.startswith(BACKBONE)}
    facts = _facts_downstream if is_downstream(state) else _facts_full
    own = facts(converted, tower, out, backbone, file)
    _write(out, converted)
    ModelCard(
        recipe=_recipe(converted, depth),
        labels=(),
        task=None,
        dataset=None,
        split="all",
        seed=0,
        selection="released weights",
        parameters=_sizes(converted, tower),
        packages=package_versions(["expressway", "torch"]),
        source={"file": file.name, "sha256": file_digest(file)},
        **own,
    ).write(out)
    return out


def _write(out: Path, state: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save_file

    with atomic_path(out / WEIGHTS) as temporary:
        save_file({k: v.contiguous() for k, v in state.items()}, temporary)


def _facts_full(
    state: Mapping[str, Tensor],
    tower: Mapping[str, Tensor],
    out: Path,
    backbone: str | None,
    file: Path,
) -> dict[str, Any]:
    weights = None if backbone else _write_backbone(tower, out / "backbone", str(file))
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


def _write_backbone(tower: Mapping[str, Tensor], folder: Path, where: str) -> Path:
    """Write a CLIP in OpenAI's names as an open_clip folder; return its weights file."""
    from safetensors.torch import save_file

    config = {"model_cfg": _architecture(tower, where), "preprocess_cfg": _PREPROCESS}
    config["preprocess_cfg"] |= {"size": config["model_cfg"]["vision_cfg"]["image_size"]}
    # jit-time leftovers of OpenAI's files, not weights
    skipped = ("input_resolution", "context_length", "vocab_size")
    weights = {k: v.float().contiguous() for k, v in tower.items() if k not in skipped}
    with atomic_path(folder / "open_clip_model.safetensors") as temporary:
        save_file(weights, temporary)
    with atomic_path(folder / "open_clip_config.json") as temporary:
        temporary.write_text(json.dumps(config, indent=1), "utf-8")
    return folder / "open_clip_model.safetensors"


_PREPROCESS = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "mode": "RGB",
}


def _architecture(tower: Mapping[str, Tensor], where: str) -> dict[str, Any]:
    """Read a vision transformer CLIP's measures off its tensors' shapes (heads are 64 wide)."""
    try:
        patches = tower["visual.conv1.weight"]
        positions = tower["visual.positional_embedding"]
        text_width = tower["ln_final.weight"].shape[0]
        side = round((positions.shape[0] - 1) ** 0.5)
        return {
            "embed_dim": tower["text_projection"].shape[1],
            "quick_gelu": True,
            "vision_cfg": {
                "image_size": side * patches.shape[-1],
                "layers": _layers(tower, "visual.transformer.resblocks."),
                "width": patches.shape[0],
                "head_width": min(64, patches.shape[0]),
                "patch_size": patches.shape[-1],
            },
            "text_cfg": {
                "context_length": tower["positional_embedding"].shape[0],
                "vocab_size": tower["token_embedding.weight"].shape[0],
                "width": text_width,
                "heads": max(1, text_width // 64),
                "layers": _layers(tower, "transformer.resblocks."),
            },
        }
    except KeyError as error:
        raise ConfigError(
            f"{where}: holds no CLIP vision transformer under {BACKBONE}* (no {error}); "
            "name the backbone it was trained with: --backbone ViT-B-32/openai"
        ) from error


def _layers(tower: Mapping[str, Tensor], prefix: str) -> int:
    found = {key[len(prefix) :].split(".")[0] for key in tower if key.startswith(prefix)}
    return len(found)
