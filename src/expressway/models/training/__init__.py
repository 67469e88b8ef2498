"""Training of every method: Lightning's loop, resumed where it was interrupted.

Chance is a function of (seed, epoch, clip) and the step size one of the epoch, so that a
resumed run ends with the same weights as an uninterrupted one. Training state lives in a folder
of its own, since Snakemake deletes the outputs of a failed job.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from expressway import methods
from expressway.core.specs import TrainSpec
from expressway.models.training.machine import distributed
from expressway.models.training.machine.distributed import claimed
from expressway.models.training.machine.runtime import Runtime, device_names
from expressway.models.training.run import run
from expressway.networks.backbones import check_device

__all__ = ["Runtime", "claimed", "train"]


def train(
    spec: TrainSpec,
    out: Path,
    state: Path,
    device: str | Sequence[str] = "cpu",
    threads: int = 1,
    precision: str = "32-true",
    workers: int | None = None,
    checkpoint_seconds: float = 60.0,
    nodes: int = 1,
) -> Path:
    """Train a model and write ``model.safetensors`` and ``model.json`` into ``out``.

    Several devices train together: one process each, on shares of the same batches. The processes
    of one machine are started here; those of several must have been started by srun or torchrun.

    Args:
        state: folder of checkpoints and ``log.csv``; a run with the same identity goes on there.
        device: ``cpu``, ``cuda`` or ``cuda:N``; several of a kind to train on them together.
        threads: of this machine.
        precision: Lightning's name: ``32-true``, ``bf16-mixed``. Weights are fp32 in both.
        workers: processes that read clips; None: what threads leave over, for methods that
            read images.
        checkpoint_seconds: least time between two checkpoints.
        nodes: machines with these devices.

    Raises:
        ConfigError: recipe, protocol, stores or splits do not fit the method or the devices.
        SystemicError: a device is not there, or another number of processes runs.
        SystemExit: with code 143, stopped by SIGTERM; a later run goes on.
    """
    devices = device_names(device)
    runtime = Runtime(devices, nodes, threads, precision, workers, checkpoint_seconds)
    for name in devices:
        check_device(name)
    here = distributed.place()
    distributed.check(here, runtime)
    alone = runtime.world == 1 or not methods.get(spec.method).trained
    job = partial(run, spec, out, state, runtime)
    if here.launcher or alone:
        job()
    else:
        distributed.launch(job, runtime.world)
    return out
