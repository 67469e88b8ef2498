"""Gradients of every trained method as two processes compute them together (gloo)."""

import os
import socket
from pathlib import Path

import torch
from built_methods import TRAINED, build, total
from feature_world import FeatureWorld
from torch import distributed, nn
from torch.multiprocessing import start_processes
from torch.nn.parallel import DistributedDataParallel

from expressway.data.clips import Batch

WORLD = 2
Gradients = dict[str, torch.Tensor]


class Loss(nn.Module):
    """What DistributedDataParallel wraps: a batch in, a number out."""

    def __init__(self, method: nn.Module) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: Batch) -> torch.Tensor:
        return total(self.method.loss(batch))


def share(batch: Batch, rank: int) -> Batch:
    """Return every second clip of a batch, as the sampler deals them."""
    return Batch(
        batch.ids[rank::WORLD],
        {name: value[rank::WORLD] for name, value in batch.inputs.items()},
        batch.labels[rank::WORLD],
        batch.targets[rank::WORLD],
    )


def gradients(loss: nn.Module, batch: Batch) -> Gradients:
    """Return parameter name -> gradient; chance (dropout) is the same in every call."""
    torch.manual_seed(1)
    loss(batch).backward()
    named = loss.module if isinstance(loss, DistributedDataParallel) else loss
    return {name: p.grad for name, p in named.named_parameters() if p.requires_grad}


def without_chance(name: str) -> dict[str, float]:
    """Return recipe changes that switch dropout off: masks would differ with the batch."""
    from expressway import methods

    fields = methods.get(name).recipe_type.model_fields
    return {key: 0.0 for key in fields if key in ("dropout", "drop_path")}


def in_two(world: FeatureWorld, batches: dict[str, Batch], folder: Path) -> None:
    """Write ``{method}-{protocol}.pt``: the gradients that both processes end up with."""
    torch.save(batches, folder / "batches.pt")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    start_processes(_process, (world, folder, port), WORLD, start_method="spawn")


def _process(rank: int, world: FeatureWorld, folder: Path, port: int) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=WORLD)
    batches = torch.load(folder / "batches.pt", weights_only=False)
    for name, protocol in TRAINED:
        key = f"{name}-{protocol}"
        method = build(world, name, protocol, **without_chance(name)).train()
        method.begin([batches[key]])
        found = gradients(DistributedDataParallel(Loss(method)), share(batches[key], rank))
        torch.save(found, folder / f"{key}-{rank}.pt")
    distributed.destroy_process_group()
