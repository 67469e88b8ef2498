"""Losses for numbers, of which a clip may lack some (NaN)."""

import torch
from torch import Tensor

from expressway.core.errors import ConfigError

EPSILON = 1e-5


def check_filled(targets: Tensor, names: tuple[str, ...]) -> None:
    """Check that every column of (clips, targets) holds some number.

    Raises:
        ConfigError: no clip has some target.
    """
    filled = (~targets.isnan()).any(0)
    empty = [name for name, full in zip(names, filled, strict=True) if not full]
    if empty:
        raise ConfigError(f"no training clip has a number for {', '.join(empty)}; leave it out")


def spread_of(targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (targets,) of what is known of (clips, targets)."""
    mean = targets.nanmean(0)
    variance = (targets - mean).square().nanmean(0)
    return mean, variance.sqrt().clamp_min(1e-6)


def squared_errors(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return (targets,): mean squared differences over the clips whose number is known."""
    known = ~targets.isnan()
    difference = (predicted - targets.nan_to_num()) * known
    return difference.square().sum(0) / known.sum(0).clamp_min(1)


def discordance(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - CCC, averaged over the targets of which a batch knows at least two.

    CCC, the concordance correlation, is 2 cov / (var + var + squared difference of the means),
    with the release's 1e-5 in the denominator (docs/methods/emoclip.md, section 3).
    """
    found = []
    for guess, truth in zip(predicted.T, targets.T, strict=True):
        known = ~truth.isnan()
        if known.sum() > 1:
            found.append(1 - concordance(guess[known], truth[known]))
    return torch.stack(found).mean() if found else 0.0 * predicted.sum()


def concordance(a: Tensor, b: Tensor) -> Tensor:
    """Return the concordance correlation of two series (n,), with population moments."""
    shift = a.mean() - b.mean()
    covariance = ((a - a.mean()) * (b - b.mean())).mean()
    variances = a.var(correction=0) + b.var(correction=0)
    return 2 * covariance / (variances + shift.square() + EPSILON)
