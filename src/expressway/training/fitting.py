"""One run of Lightning's trainer, from the last checkpoint or from the start."""

import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from expressway.data.clips import ClipDataset, in_order, loader
from expressway.data.samplers import FIRST_EPOCH, EpochSampler, balancing_weights
from expressway.data.specs import TrainSpec
from expressway.methods.base import Method
from expressway.training.checkpoints import Keeper, identity, resumable
from expressway.training.loop import Loop
from expressway.training.runtime import Runtime

TERMINATED = 143
T = TypeVar("T")


def fit(
    method: Method[Any], data: ClipDataset, spec: TrainSpec, state: Path, runtime: Runtime
) -> tuple[Mapping[str, float], ...]:
    """Train ``method`` in place from its last checkpoint or from the start; return the history."""
    recipe = method.recipe
    size = min(recipe.batch_size or len(data), len(data))
    method.begin(in_order(data, size, FIRST_EPOCH))
    weights = balancing_weights(data.labels) if recipe.resample else None
    batches = loader(data, EpochSampler(len(data), spec.seed, weights), size, runtime.workers)
    loop = Loop(method, spec.seed, identity(spec, data))
    kept = resumable(state, loop.identity)
    if kept:
        print(f"going on from {kept}", flush=True)
    keeper = Keeper(state, runtime.checkpoint_seconds)
    trainer = _quietly(lambda: _trainer(recipe, runtime, keeper))
    try:
        _quietly(lambda: trainer.fit(loop, batches, ckpt_path=kept, weights_only=True))
    except SIGTERMException:
        # Lightning would leave with 0, as if the model were there
        print("stopped by SIGTERM; run it again to go on", flush=True)
        raise SystemExit(TERMINATED) from None
    return tuple(loop.history)


def _trainer(recipe: Any, runtime: Runtime, keeper: Keeper) -> Trainer:
    on_gpu = runtime.device.startswith("cuda")
    index = int(runtime.device.partition(":")[2] or 0)
    return Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=[index] if on_gpu else 1,
        precision=runtime.precision,  # type: ignore[arg-type]
        max_epochs=recipe.epochs,
        gradient_clip_val=recipe.gradient_clip,
        callbacks=[keeper],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def _quietly(function: Callable[[], T]) -> T:
    """Call without Lightning's notes about hardware, workers and tips."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        return function()
