"""Steps: the same clips a step, however many processes and micro batches share them."""

import pytest
from built_methods import build

from expressway.core.errors import ConfigError
from expressway.data.sampling import EpochSampler
from expressway.models.training.steps import Steps


@pytest.mark.parametrize(
    ("batch_size", "clips", "world_size", "accumulate", "expected"),
    [
        (8, 34, 1, 1, (8, 4, 8)),
        (8, 34, 2, 1, (8, 4, 4)),
        (8, 34, 2, 2, (8, 4, 2)),
        (64, 34, 1, 1, (34, 1, 34)),  # fewer clips than a batch: one step of all
        (64, 35, 2, 1, (34, 1, 17)),  # which two processes can share
        (None, 34, 1, 3, (33, 1, 11)),
    ],
)
def test_an_epoch_is_dealt_out(world, batch_size, clips, world_size, accumulate, expected) -> None:
    recipe = {"batch_size": batch_size, "accumulate": accumulate, "optimiser": "sgd"}
    steps = Steps.of(build(world, "linear", "supervised", **recipe), clips, world_size)
    assert (steps.size, steps.count, steps.micro) == expected
    assert steps.clips == steps.size * steps.count
    assert steps.batches == steps.count * accumulate
    assert [steps.ends_with(i) for i in range(accumulate)] == [False] * (accumulate - 1) + [True]


@pytest.mark.parametrize(
    ("batch_size", "clips", "message"),
    [
        (9, 34, r"batch_size 9 cannot be divided by 2 processes x 1 micro batches; .* of 2"),
        (8, 1, "1 clips to train on, but 2 shares"),
    ],
)
def test_what_cannot_be_shared_is_refused(world, batch_size, clips, message) -> None:
    method = build(world, "linear", "supervised", batch_size=batch_size, optimiser="sgd")
    with pytest.raises(ConfigError, match=message):
        Steps.of(method, clips, world=2)


def test_two_processes_together_see_each_step_of_one() -> None:
    steps = [Steps(size=8, count=4, world=world) for world in (1, 2)]
    one, left, right = (
        [i for _, i in EpochSampler(35, 0, rank=rank, world=s.world, used=s.clips)]
        for rank, s in ((0, steps[0]), (0, steps[1]), (1, steps[1]))
    )
    for step in range(4):
        of_one = one[8 * step : 8 * step + 8]
        of_two = left[4 * step : 4 * step + 4] + right[4 * step : 4 * step + 4]
        assert sorted(of_one) == sorted(of_two)
    assert len(set(left + right)) == 32  # no clip twice to fill up


def test_a_resumed_epoch_skips_what_it_has_had() -> None:
    sampler = EpochSampler(10, seed=0, used=8)
    sampler.set_epoch(2)
    whole = list(sampler)
    sampler.resume(2, 3)
    assert list(sampler) == whole[3:]
    assert len(sampler) == 8
    sampler.set_epoch(3)
    assert len(list(sampler)) == 8
