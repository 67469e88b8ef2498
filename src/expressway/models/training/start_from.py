"""Initial weights from another model: what fits is taken, what does not is named."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from expressway.core.errors import ConfigError
from expressway.core.fingerprints import file_digest
from expressway.core.model_card import WEIGHTS, ModelCard
from expressway.methods.base import Method
from expressway.networks.backbones import Backbone

SHOWN = 6


def start(method: Method[Any], folder: Path, backbone: Backbone) -> dict[str, str]:
    """Give a method the tensors of another model that have its names; return where from.

    Only names with a prefix that the method declares (``inherits``) are taken. What stays as the
    seed made it and what is not used are printed.

    Raises:
        ConfigError: no model there, another backbone, other shapes, or nothing in common.
    """
    from safetensors.torch import load_file

    _check_backbone(folder, backbone)
    given, own = load_file(folder / WEIGHTS), method.state_dict()
    taken = {
        name: value
        for name, value in given.items()
        if name in own and name.startswith(method.inherits)
    }
    _check_fit(folder, taken, own)
    method.load_state_dict(taken, strict=False)
    print(
        f"starting from {folder}: {len(taken)} tensors; "
        f"new here: {_names(own, taken)}; not used: {_names(given, taken)}",
        flush=True,
    )
    return {"start_from": folder.as_posix(), "sha256": file_digest(folder / WEIGHTS)}


def _check_backbone(folder: Path, backbone: Backbone) -> None:
    made_with = ModelCard.read(folder).backbone.get("sha256")
    if made_with and made_with != backbone.sha256:
        raise ConfigError(
            f"{folder}: made with a backbone of sha256 {made_with[:12]}…, this model goes through "
            f"{backbone.name} ({backbone.sha256[:12]}…); start from a model with the same backbone"
        )


def _check_fit(folder: Path, taken: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    wrong = [
        f"{name} {tuple(value.shape)} instead of {tuple(own[name].shape)}"
        for name, value in taken.items()
        if value.shape != own[name].shape
    ]
    if wrong:
        raise ConfigError(
            f"{folder}: tensors of other shapes: {', '.join(wrong[:SHOWN])}; the recipes differ in "
            "their widths or classes, give both the same"
        )
    if not taken:
        raise ConfigError(
            f"{folder}: has no tensor that this method could start from (its own are "
            f"{', '.join(sorted(own)[:SHOWN])}, …)"
        )


def _names(all_names: Mapping[str, Any], taken: Mapping[str, Any]) -> str:
    rest = sorted(set(all_names) - set(taken))
    more = f" and {len(rest) - SHOWN} more" if len(rest) > SHOWN else ""
    return (", ".join(rest[:SHOWN]) or "nothing") + more
