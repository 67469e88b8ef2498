"""Processes of one training run: checked, or started here.

Every process runs the same code on its own share of each batch. They are started by this module
(several devices of one machine), by ``srun`` or by ``torchrun`` (several machines).
"""

import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch.multiprocessing import ProcessExitedException, start_processes

from expressway.core import devices
from expressway.core.errors import ExpresswayError, SystemicError
from expressway.models.training.machine.runtime import Runtime

if TYPE_CHECKING:
    from lightning.pytorch.plugins.environments import ClusterEnvironment

TERMINATED = 143
# for a checkpoint to reach the disk after another process has stopped
GRACE_SECONDS = 20.0


@dataclass(frozen=True)
class Place:
    """This process among those of its run; ``launcher`` is empty when it is alone."""

    rank: int = 0
    local_rank: int = 0
    world: int = 1
    launcher: str = ""


def place(environment: Mapping[str, str] = os.environ) -> Place:
    """Return what ``srun`` or ``torchrun`` say about this process."""
    if int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        rank, local = int(environment["SLURM_PROCID"]), int(environment["SLURM_LOCALID"])
        return Place(rank, local, int(environment["SLURM_STEP_NUM_TASKS"]), "srun")
    if "LOCAL_RANK" in environment:
        rank, local = int(environment["RANK"]), int(environment["LOCAL_RANK"])
        return Place(rank, local, int(environment["WORLD_SIZE"]), "torchrun")
    return Place()


def check(here: Place, runtime: Runtime) -> None:
    """Refuse another number of processes than was asked for: batches would have another size.

    Raises:
        SystemicError: names both numbers and how to start as many as were asked for.
    """
    if here.world == runtime.world or (not here.launcher and runtime.nodes == 1):
        return
    each, nodes = len(runtime.devices), runtime.nodes
    raise SystemicError(
        f"{runtime.world} processes were asked for ({each} devices on each of {nodes} nodes), "
        f"but {here.world} run{'s' if here.world == 1 else ''} ({here.launcher or 'no launcher'}); "
        f"start them with: srun --nodes {nodes} --ntasks-per-node {each}, or "
        f"torchrun --nnodes {nodes} --nproc-per-node {each}"
    )


@contextmanager
def claimed(gpus: int) -> Iterator[list[str]]:
    """Yield the cards of this machine to train on: free ones, or those that a launcher dealt out.

    Raises:
        SystemicError: this machine offers fewer.
    """
    if not place().launcher:
        with devices.claim_all(gpus) as found:
            yield found
        return
    if gpus and devices.visible_cards() < gpus:
        raise SystemicError(
            f"this process sees {devices.visible_cards()} of {gpus} cards; let each see all cards "
            "of its machine (srun --gpus-per-node, not --gpus-per-task)"
        )
    yield [f"cuda:{index}" for index in range(gpus)]


def cluster(here: Place) -> "ClusterEnvironment":
    """Return how the processes find each other, so that Lightning guesses nothing."""
    from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment

    if here.launcher == "srun":
        return SLURMEnvironment(auto_requeue=False)
    return LightningEnvironment()


@contextmanager
def only_first_speaks(here: Place) -> Iterator[None]:
    """Let the process of rank 0 print, and no other."""
    if here.rank == 0:
        yield
        return
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        yield


def launch(function: Callable[[], Any], world: int) -> None:
    """Call a picklable ``function`` in ``world`` new processes of this machine and wait.

    SIGTERM is passed on to them. When one fails, the others are ended.

    Raises:
        ExpresswayError: the one that a process raised, or SystemicError when one died.
        SystemExit: with code 143, when they were stopped by SIGTERM.
    """
    told = multiprocessing.get_context("spawn").SimpleQueue()
    arguments = (function, world, _free_port(), told)
    started = start_processes(_child, arguments, world, join=False, start_method="spawn")
    with _sigterm_passed_on(started.pids()) as stopped:
        try:
            while not started.join(grace_period=GRACE_SECONDS):
                pass
        except ProcessExitedException as error:
            if stopped or error.exit_code == TERMINATED:
                raise SystemExit(TERMINATED) from None
            raise _failure(told, error) from error


def _failure(told: Any, error: Any) -> ExpresswayError:
    if not told.empty():
        found: ExpresswayError = told.get()
        return found
    return SystemicError(
        f"training process {error.error_index} died with exit code {error.exit_code} "
        f"({error.signal_name or 'no signal'}); look above for its last words, and for memory"
    )


def _child(rank: int, function: Callable[[], Any], world: int, port: int, told: Any) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "NODE_RANK": "0",
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    try:
        function()
    except ExpresswayError as error:
        told.put(error)
        sys.exit(1)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def _sigterm_passed_on(processes: list[int]) -> Iterator[list[int]]:
    """Yield a list that is empty until SIGTERM came."""
    stopped: list[int] = []

    def pass_on(number: int, _: Any) -> None:
        stopped.append(number)
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, number)

    with sigterm_handler(pass_on):
        yield stopped


@contextmanager
def sigterm_handler(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Handle SIGTERM by ``handler`` inside the block (in the main thread; elsewhere not)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
