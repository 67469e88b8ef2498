"""One run of Lightning's trainer, from the last checkpoint or from the start."""

import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import OutOfMemoryError, distributed

from expressway.core.errors import SystemicError
from expressway.data.clips import ClipDataset, in_order, loader
from expressway.data.sampling import FIRST_EPOCH, EpochSampler, balancing_weights
from expressway.methods.base import Method
from expressway.models.training.loop import Loop
from expressway.models.training.machine.checkpoints import Keeper, Kept, resumable
from expressway.models.training.machine.distributed import TERMINATED, Place, cluster
from expressway.models.training.machine.progress import Progress
from expressway.models.training.machine.runtime import Runtime
from expressway.models.training.selection import Selection
from expressway.models.training.steps import Steps

T = TypeVar("T")


def fit(
    method: Method[Any],
    data: ClipDataset,
    selection: Selection | None,
    seed: int,
    identity: str,
    steps: Steps,
    state: Path,
    runtime: Runtime,
    here: Place,
) -> tuple[Mapping[str, float], ...]:
    """Train ``method`` in place from its last checkpoint or from the start; return the history.

    Raises:
        SystemicError: the GPU's memory is too small; the batch is never made smaller unasked.
        SystemExit: with code 143, stopped by SIGTERM.
    """
    method.begin(in_order(data, steps.size, FIRST_EPOCH))
    first = here.rank == 0
    loop = Loop(method, seed, identity, steps, selection if first else None)
    kept = resumable(state, identity)
    if kept:
        print(f"going on from {kept.path}", flush=True)
    batches = _batches(method, data, seed, steps, runtime, here, kept)
    progress = Progress(state / "log.csv") if first else None
    keeper = Keeper(state, runtime.checkpoint_seconds, progress)
    trainer = _quietly(lambda: _trainer(method.recipe, steps, runtime, here, keeper))
    path = kept.path if kept else None
    try:
        _quietly(lambda: trainer.fit(loop, batches, ckpt_path=path, weights_only=True))
    except SIGTERMException:
        # Lightning would leave with 0, as if the model were there
        print("stopped by SIGTERM; run it again to go on", flush=True)
        raise SystemExit(TERMINATED) from None
    except OutOfMemoryError as error:
        raise SystemicError(
            f"{method.name}: {steps.micro} clips at once do not fit into GPU memory. The same step "
            "needs less with accumulate: 2 in the recipe, on more cards, or with --precision "
            "bf16-mixed; a run that is started again goes on"
        ) from error
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
    return tuple(loop.history)


def _batches(
    method: Method[Any],
    data: ClipDataset,
    seed: int,
    steps: Steps,
    runtime: Runtime,
    here: Place,
    kept: Kept | None,
) -> Any:
    """Return this process's micro batches, in the order of the epoch that comes next."""
    weights = balancing_weights(data.labels) if method.recipe.resample else None
    sampler = EpochSampler(len(data), seed, weights, here.rank, steps.world, steps.clips)
    if kept:
        sampler.resume(kept.epoch, kept.batch * steps.micro)
    streamed = any(need.stream for need in data.stores.needs)
    return loader(data, sampler, steps.micro, runtime.readers(streamed), runtime.on_gpu)


def _trainer(recipe: Any, steps: Steps, runtime: Runtime, here: Place, keeper: Keeper) -> Trainer:
    environment = cluster(here)
    backend = "nccl" if runtime.on_gpu else "gloo"
    together = DDPStrategy(cluster_environment=environment, process_group_backend=backend)
    indices = [int(name.partition(":")[2] or 0) for name in runtime.devices]
    return Trainer(
        accelerator="gpu" if runtime.on_gpu else "cpu",
        devices=indices if runtime.on_gpu else len(runtime.devices),
        num_nodes=runtime.nodes,
        strategy=together if steps.world > 1 else "auto",
        plugins=[] if steps.world > 1 else [environment],
        precision=runtime.precision,  # type: ignore[arg-type]
        max_epochs=recipe.epochs,
        accumulate_grad_batches=steps.accumulate,
        gradient_clip_val=recipe.gradient_clip,
        callbacks=[keeper, *([keeper.progress] if keeper.progress else [])],
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
