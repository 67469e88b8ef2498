"""One batch over all processes of a run, for losses that compare clips with each other."""

from typing import Any

import torch
from torch import Tensor, distributed


def gather(local: Tensor) -> Tensor:
    """Return (processes * batch, ...): the tensors of all processes, rank after rank.

    The identity without a process group. Gradients go back through it, so a loss over gathered
    features that every process computes in full trains like one process with the union batch:
    backward *sums* what the processes send to a row, which is ``processes`` times its gradient,
    and DistributedDataParallel divides by ``processes`` when it averages. Parameters that enter
    such a loss without passing through here (a logit scale) have the same gradient everywhere, so
    the average leaves it alone. No loss may be rescaled.

    Args:
        local: (batch, ...), of the same shape in every process.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return local
    return _Gather.apply(local) if local.is_floating_point() else _gathered(local)


def _gathered(local: Tensor) -> Tensor:
    parts = [torch.empty_like(local) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, local.contiguous())
    return torch.cat(parts)


class _Gather(torch.autograd.Function):
    """All-gather whose backward gives each process the sum of all gradients of its rows."""

    @staticmethod
    def forward(context: Any, local: Tensor) -> Tensor:
        context.rows = len(local)
        return _gathered(local)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].contiguous()
        distributed.all_reduce(summed)
        start = distributed.get_rank() * context.rows
        return summed[start : start + context.rows]
