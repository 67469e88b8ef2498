"""Training of every method: Lightning's loop, resumed from the last finished epoch.

Chance is a function of (seed, epoch, clip) and the step size one of the epoch, so that a
resumed run ends with the same weights as an uninterrupted one. Training state lives in a folder
of its own, since Snakemake deletes the outputs of a failed job.
"""

from pathlib import Path
from typing import Any

import torch

from expressway import methods
from expressway.backbones import Backbone, check_device
from expressway.backbones import load as load_backbone
from expressway.data.clips import ClipDataset, ClipStores
from expressway.data.samplers import torch_seed
from expressway.data.specs import TrainSpec
from expressway.data.splits import labelled, part, usable, with_targets
from expressway.methods.base import Context, Method
from expressway.training.checkpoints import checkpoints
from expressway.training.fitting import fit
from expressway.training.progress import told
from expressway.training.publishing import publish
from expressway.training.runtime import Runtime
from expressway.training.threshold import threshold

__all__ = ["Runtime", "train"]


def train(
    spec: TrainSpec,
    out: Path,
    state: Path,
    device: str = "cpu",
    threads: int = 1,
    precision: str = "32-true",
    workers: int = 0,
    checkpoint_seconds: float = 20.0,
) -> Path:
    """Train a model and write ``model.safetensors`` and ``model.json`` into ``out``.

    Args:
        state: folder of checkpoints and ``log.csv``; a run with the same identity goes on there.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        precision: Lightning's name: ``32-true``, ``bf16-mixed``.
        workers: processes that read clips; for methods that read images.
        checkpoint_seconds: least time between two checkpoints (at ends of epochs).

    Raises:
        ConfigError: recipe, protocol, stores or splits do not fit the method.
        SystemicError: the device is not there.
        SystemExit: with code 143, stopped by SIGTERM; a later run goes on.
    """
    runtime = Runtime(device, threads, precision, workers, checkpoint_seconds)
    check_device(device)
    torch.set_num_threads(threads)
    chosen = methods.get(spec.method)
    chosen.check_protocol(spec.protocol)
    recipe = methods.recipe(spec.method, spec.recipe, f"models.{spec.model}.recipe")
    backbone = load_backbone(spec.backbone, device)
    torch.manual_seed(torch_seed(spec.seed, "start"))
    method = chosen(recipe, _context(spec, backbone))
    if chosen.trains_on_class_texts(spec.protocol):
        method.read_prompts(backbone)
    if not chosen.trained:
        return publish(method, spec, backbone, out, "nothing is trained", {}, ())
    data, lost = _training_data(method, spec)
    print(told(method, spec, data, runtime), flush=True)
    history = fit(method, data, spec, state, runtime)
    counts = {"trained": len(data), **lost}
    limit = threshold(method, data.as_test(), device) if spec.protocol == "open_set" else None
    published = publish(method, spec, backbone, out, "last epoch", counts, history, limit)
    for checkpoint in checkpoints(state):
        checkpoint.unlink()
    return published


def _context(spec: TrainSpec, backbone: Backbone) -> Context:
    return Context(
        dim=backbone.dim,
        labels=spec.outputs,
        protocol=spec.protocol,
        prompts=dict(spec.prompts),
        logit_scale=backbone.logit_scale,
        backbone=backbone,
    )


def _training_data(method: Method[Any], spec: TrainSpec) -> tuple[ClipDataset, dict[str, int]]:
    """Return the usable clips of the training part and how many were left out, by status."""
    stores = ClipStores(spec.stores, method.stores(method.recipe, spec.protocol, "train"))
    method.check_stores(stores)
    clips = part(spec.clips, spec.parts, "train")
    if spec.protocol == "regression":
        clips = with_targets(clips, spec.targets)
    elif spec.protocol != "zero_shot":
        clips = labelled(clips, spec.task, spec.labels)
    kept, lost = usable(clips, stores.why_not)
    data = ClipDataset(
        kept,
        stores,
        method.sample,
        spec.task,
        spec.labels,
        spec.seed,
        training=True,
        targets=spec.targets,
    )
    return data, lost
