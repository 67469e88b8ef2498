"""Publish a trained model: weights and card."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from expressway.core.files import atomic_path
from expressway.core.fingerprints import package_versions
from expressway.core.model_card import WEIGHTS, ModelCard
from expressway.core.specs import TrainSpec
from expressway.methods.base import Method
from expressway.networks.backbones import Backbone

PACKAGES = ("expressway", "torch", "lightning", "open_clip_torch", "numpy")


def publish(
    method: Method[Any],
    spec: TrainSpec,
    backbone: Backbone,
    out: Path,
    selection: str,
    clips: Mapping[str, int],
    history: tuple[Mapping[str, float], ...],
    threshold: float | None = None,
    source: Mapping[str, str] | None = None,
) -> Path:
    """Write weights and card; the card last."""
    from safetensors.torch import save_file

    weights = {name: value.contiguous().cpu() for name, value in method.state_dict().items()}
    with atomic_path(out / WEIGHTS) as temporary:
        save_file(weights, temporary)
    trainable = count(p for p in method.parameters() if p.requires_grad)
    frozen = count(p for p in method.parameters() if not p.requires_grad)
    ModelCard(
        model=spec.model,
        method=spec.method,
        recipe=method.recipe.model_dump(mode="json"),
        backbone={
            "model": spec.backbone,
            "sha256": backbone.sha256,
            "dim": backbone.dim,
            "logit_scale": backbone.logit_scale,
        },
        labels=spec.labels,
        protocol=spec.protocol,
        task=spec.task,
        dataset=spec.dataset,
        split=spec.split,
        seed=spec.seed,
        selection=selection,
        parameters={
            "trainable": trainable,
            "total": trainable + frozen + count(backbone.model.parameters()) - method.replaced(),
        },
        targets=spec.targets,
        threshold=threshold,
        prompts=dict(spec.prompts),
        prompt_set=spec.prompt_set,
        stores=dict(spec.provenance),
        clips=clips,
        packages=package_versions(PACKAGES),
        fingerprint=spec.fingerprint,
        made_of=spec.made_of,
        source=source or {},
        history=history,
    ).write(out)
    return out


def count(parameters: Iterable[Tensor]) -> int:
    """Return the number of numbers in parameters."""
    return sum(parameter.numel() for parameter in parameters)
