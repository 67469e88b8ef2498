"""SGD in which some tensors move by a step of fixed size, whatever the gradient's length.

Pixels that are learned through a frozen network get gradients of any size, so only their direction
is used (docs/methods/hesp.md, section 5).
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

Scope = Literal["whole", "each", "mean"]
TINY = 1e-10


class NormalisedStep(torch.optim.SGD):
    """SGD over groups of parameters; two keys of a group change what it does.

    ``normalise``: the gradient is brought to a root mean square of 1, so that ``lr`` is the root
    mean square of the step: over the ``whole`` tensor, over ``each`` entry of its first axis, or
    of the ``mean`` over the first axis, which then moves every entry alike.
    ``fixed``: the normalised step has this root mean square whatever ``lr`` is, and an ordinary
    step of size ``lr`` follows.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Make one step; return what ``closure`` returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"] if group.get("normalise") else ():
                if parameter.grad is not None:
                    _move(parameter, parameter.grad, group["normalise"], group.get("fixed"))
        super().step()
        return loss


def _move(parameter: Tensor, gradient: Tensor, scope: Scope, fixed: float | None) -> None:
    direction = normalised(gradient, scope)
    if fixed is None:
        parameter.grad = direction
    else:
        parameter.sub_(direction, alpha=fixed)


def normalised(gradient: Tensor, scope: Scope) -> Tensor:
    """Return a gradient with a root mean square of 1; a vanishing one stays near 0."""
    if scope == "mean":
        gradient = gradient.mean(0, keepdim=True).expand_as(gradient)
    parts = gradient.reshape(len(gradient) if scope != "whole" else 1, -1)
    lengths = parts.norm(dim=-1, keepdim=True) + TINY
    return (parts * (math.sqrt(parts.shape[-1]) / lengths)).reshape(gradient.shape)
