"""Read published checkpoints, and write model folders from them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expressway.core.errors import ConfigError
from expressway.core.files import atomic_path
from expressway.core.fingerprints import file_digest, package_versions
from expressway.core.model_card import WEIGHTS, ModelCard


def read_state(file: Path, what: str) -> dict[str, Tensor]:
    """Return a checkpoint's tensors without the ``module.`` prefix; no code in it is run.

    Args:
        what: what should be there, for the message.

    Raises:
        ConfigError: the file is missing or no state dict.
    """
    if not file.is_file():
        raise ConfigError(f"{file}: no such file; expected {what} (.pth)")
    try:
        state = _load(file)
    except Exception as error:
        raise ConfigError(f"{file}: cannot be read as a state dict: {_reason(error)}") from error
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


def _reason(error: Exception) -> str:
    """Return the loader's words, without torch's advice to run what is in the file."""
    lines = [line for line in str(error).splitlines() if line and "weights_only" not in line]
    return lines[0] if lines else type(error).__name__


def some(names: list[str], limit: int = 8) -> str:
    """Return the first names in words."""
    shown = ", ".join(names[:limit]) or "none"
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def publish(
    out: Path,
    state: Mapping[str, Tensor],
    file: Path,
    source: Mapping[str, Any] | None = None,
    **facts: Any,
) -> Path:
    """Write weights and card of a release; return the folder.

    Args:
        source: what else is known of where the weights come from.
        facts: fields of the card that differ between releases.
    """
    from safetensors.torch import save_file

    with atomic_path(out / WEIGHTS) as temporary:
        save_file({name: value.contiguous() for name, value in state.items()}, temporary)
    common: dict[str, Any] = {
        "labels": (),
        "task": None,
        "dataset": None,
        "split": "all",
        "seed": 0,
        "selection": "released weights",
        "packages": package_versions(["expressway", "torch"]),
        "source": {"file": file.name, "sha256": file_digest(file), **(source or {})},
    }
    ModelCard(**{**common, **facts}).write(out)
    return out


def write_backbone(tower: Mapping[str, Tensor], folder: Path, where: str) -> Path:
    """Write a CLIP in OpenAI's names as an open_clip folder; return its weights file."""
    from safetensors.torch import save_file

    model = _architecture(tower, where)
    preprocess = _PREPROCESS | {"size": model["vision_cfg"]["image_size"]}
    config = {"model_cfg": model, "preprocess_cfg": preprocess}
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
            f"{where}: holds no whole CLIP vision transformer (no {error}); "
            "name the backbone it was trained with: --backbone ViT-B-32/openai"
        ) from error


def _layers(tower: Mapping[str, Tensor], prefix: str) -> int:
    found = {key[len(prefix) :].split(".")[0] for key in tower if key.startswith(prefix)}
    return len(found)
