"""EmoCLIP's fixture T (docs/methods/emoclip.md): the temporal transformer, number by number."""

import numpy as np
import pytest
import torch

from expressway.methods.base import Context
from expressway.methods.emoclip.model import EmoCLIP, Recipe
from expressway.methods.releases.emoclip import temporal_names

RELEASED = (
    True,
    100,
    68_689_408,
    (13.632695, 12.611440),
    (0.444785, -0.872271, 0.565741, 0.453412, 0.565274, -0.532226),
    3.139817,
)
INTENDED = (
    False,
    200,
    6_826_496,
    (7.375758, 7.660344),
    (0.395948, 0.184104, -0.465834, 0.715423, 0.061796, 0.245540),
    13.075518,
)


def normal(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    values = np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
    return torch.from_numpy(values)


def fill(model: EmoCLIP, seed: int) -> None:
    """Fill in the sorted order of the release's key names."""
    state = model.temporal.state_dict()
    for index, (theirs, ours) in enumerate(sorted(temporal_names(model.recipe.depth).items())):
        value = 0.02 * normal(seed + index, tuple(state[ours].shape))
        state[ours] = value + 1 if theirs.endswith("norm.weight") else value
    model.temporal.load_state_dict(state)


@pytest.mark.parametrize("variant", [RELEASED, INTENDED], ids=["released", "intended"])
def test_fixture_t(variant: tuple) -> None:
    published, seed, parameters, norms, first, total = variant
    context = Context(512, ("anger", "fear"), "zero_shot")
    model = EmoCLIP(Recipe(published=published), context).eval()
    assert sum(p.numel() for p in model.temporal.parameters()) == parameters
    fill(model, seed)
    with torch.no_grad():
        out = model.temporal(0.45 * normal(seed + 999, (2, 32, 512)))
    # 1e-5: the spec's tolerance for fp32 on CPU; the printed numbers have six decimals
    assert np.allclose(out.norm(dim=1), norms, atol=1e-5, rtol=0)
    assert np.allclose(out[0, :6], first, atol=1e-5, rtol=0)
    # a sum of 1024 numbers, each good to about 1e-7
    assert abs(float(out.sum()) - total) < 1e-4


def test_every_parameter_has_an_upstream_name() -> None:
    model = EmoCLIP(Recipe(depth=3), Context(32, ("a", "b"), "zero_shot"))
    assert set(temporal_names(3).values()) == set(model.temporal.state_dict())
