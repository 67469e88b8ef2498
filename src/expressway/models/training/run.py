"""One process of a training run, from its specification to the model folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from expressway import methods
from expressway.core.fast_imports import uncollected
from expressway.core.specs import TrainSpec
from expressway.data.sampling import torch_seed
from expressway.methods.base import Context, Method
from expressway.models.training.data import prepare
from expressway.models.training.machine.distributed import only_first_speaks, place
from expressway.models.training.machine.publishing import publish
from expressway.models.training.machine.runtime import Runtime
from expressway.models.training.start_from import start
from expressway.models.training.steps import Steps
from expressway.models.training.threshold import threshold
from expressway.networks.backbones import Backbone
from expressway.networks.backbones import load as load_backbone


def run(spec: TrainSpec, out: Path, state: Path, runtime: Runtime) -> None:
    """Train as one process of a run; the first of them writes the model."""
    here = place()
    device = runtime.devices[here.local_rank]
    torch.set_num_threads(runtime.process_threads)
    with only_first_speaks(here):
        _run(spec, out, state, runtime, device)


def _run(spec: TrainSpec, out: Path, state: Path, runtime: Runtime, device: str) -> None:
    here = place()
    chosen = methods.get(spec.method)
    chosen.check_protocol(spec.protocol)
    recipe = methods.recipe(spec.method, spec.recipe, f"models.{spec.model}.recipe")
    backbone = load_backbone(spec.backbone, device)
    torch.manual_seed(torch_seed(spec.seed, "start"))
    method = chosen(recipe, _context(spec, backbone))
    source = start(method, spec.start, backbone) if spec.start else {}
    if chosen.trains_on_class_texts(spec.protocol):
        method.read_prompts(backbone)
    if not chosen.trained:
        if here.rank == 0:
            publish(method, spec, backbone, out, "nothing is trained", {}, ())
        return
    _fit(method, spec, backbone, out, state, runtime, source)


def _fit(
    method: Method[Any],
    spec: TrainSpec,
    backbone: Backbone,
    out: Path,
    state: Path,
    runtime: Runtime,
    source: Mapping[str, str],
) -> None:
    # Lightning takes seconds to import, and what is only published needs none of it
    with uncollected():
        from expressway.models.training.fitting import fit
        from expressway.models.training.machine.checkpoints import checkpoints, identity
        from expressway.models.training.machine.progress import told

    here = place()
    device = runtime.devices[here.local_rank]
    data, selection, counts = prepare(method, spec)
    steps = Steps.of(method, len(data), runtime.world)
    print(told(method, spec, len(data), steps, runtime), flush=True)
    name = identity(spec, data, source)
    history = fit(method, data, selection, spec.seed, name, steps, state, runtime, here)
    if here.rank:
        return
    kept = selection.apply(method, method.recipe.epochs) if selection else "last epoch"
    limit = threshold(method, data.as_test(), device) if spec.protocol == "open_set" else None
    publish(method, spec, backbone, out, kept, counts, history, limit, source)
    for checkpoint in checkpoints(state):
        checkpoint.unlink()


def _context(spec: TrainSpec, backbone: Backbone) -> Context:
    return Context(
        dim=backbone.dim,
        labels=spec.outputs,
        protocol=spec.protocol,
        prompts=dict(spec.prompts),
        logit_scale=backbone.logit_scale,
        backbone=backbone,
    )
