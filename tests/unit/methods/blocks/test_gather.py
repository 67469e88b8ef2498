"""Gathering in one process; two are in tests/contract/test_training.py."""

import pytest
import torch
from torch import distributed

from expressway.methods.blocks.gather import gather


def test_alone_nothing_is_gathered() -> None:
    local = torch.ones(3, 2)
    assert gather(local) is local


@pytest.fixture
def group(tmp_path):
    distributed.init_process_group("gloo", f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_a_group_of_one_keeps_values_and_kinds(group, kind) -> None:
    local = torch.tensor([[1, 0], [0, 1], [1, 1]]).to(kind)
    found = gather(local)
    assert found.dtype == kind
    assert torch.equal(found, local)


def test_gradients_come_back(group) -> None:
    local = torch.arange(6.0).reshape(3, 2).requires_grad_()
    gather(local).square().sum().backward()
    assert torch.equal(local.grad, 2 * local.detach())
