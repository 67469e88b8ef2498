"""Steps of fixed size next to ordinary SGD."""

import pytest
import torch
from torch import nn

from expressway.methods.blocks.normalised_step import NormalisedStep, normalised


def parameter(*shape: int, gradient: float = 1.0) -> nn.Parameter:
    torch.manual_seed(0)
    made = nn.Parameter(torch.randn(shape))
    made.grad = gradient * torch.randn(shape)
    return made


def rms(values: torch.Tensor) -> float:
    return values.square().mean().sqrt().item()


@pytest.mark.parametrize("gradient", [1e-3, 1e3])
def test_the_step_has_the_group_s_root_mean_square(gradient: float) -> None:
    moved = parameter(3, 4, 4, gradient=gradient)
    before, direction = moved.detach().clone(), moved.grad.clone()
    NormalisedStep([{"params": [moved], "lr": 0.25, "normalise": "whole"}]).step()
    step = before - moved.detach()
    assert rms(step) == pytest.approx(0.25, rel=1e-5)
    torch.testing.assert_close(step / step.norm(), direction / direction.norm())


def test_each_entry_gets_a_step_of_its_own() -> None:
    gradient = torch.randn(3, 8) * torch.tensor([[1.0], [100.0], [0.01]])
    found = normalised(gradient, "each")
    assert [rms(row) for row in found] == pytest.approx([1.0, 1.0, 1.0], rel=1e-5)
    assert rms(normalised(gradient, "whole")[1]) > 1.5


def test_the_mean_moves_all_entries_alike() -> None:
    gradient = torch.randn(3, 8)
    found = normalised(gradient, "mean")
    assert torch.equal(found[0], found[1])
    mean = gradient.mean(0)
    torch.testing.assert_close(found[2] / found[2].norm(), mean / mean.norm())
    assert rms(found[0]) == pytest.approx(1.0, rel=1e-5)


def test_the_schedule_reaches_normalised_and_ordinary_groups() -> None:
    ordinary, moved = parameter(5), parameter(2, 6)
    optimiser = NormalisedStep(
        [
            {"params": [ordinary], "lr": 0.1},
            {"params": [moved], "lr": 0.5, "normalise": "each"},
        ]
    )
    before = [ordinary.detach().clone(), moved.detach().clone()]
    for group in optimiser.param_groups:
        group["lr"] *= 0.1
    gradient = ordinary.grad.clone()
    optimiser.step()
    torch.testing.assert_close(before[0] - ordinary.detach(), 0.01 * gradient)
    assert rms((before[1] - moved.detach())[0]) == pytest.approx(0.05, rel=1e-5)


def test_a_fixed_step_ignores_the_schedule_and_sgd_follows() -> None:
    moved = parameter(2, 6)
    before, gradient = moved.detach().clone(), moved.grad.clone()
    group = {"params": [moved], "lr": 0.0, "normalise": "mean", "fixed": 0.5}
    optimiser = NormalisedStep([group])
    optimiser.step()
    assert rms(before - moved.detach()) == pytest.approx(0.5, rel=1e-5)
    optimiser.param_groups[0]["lr"] = 0.1
    before = moved.detach().clone()
    moved.grad = gradient
    optimiser.step()
    expected = before - 0.5 * normalised(gradient, "mean") - 0.1 * gradient
    torch.testing.assert_close(moved.detach(), expected)


def test_no_gradient_means_no_step_and_a_vanishing_one_no_nan() -> None:
    still, flat = parameter(4), parameter(4)
    still.grad, flat.grad = None, torch.zeros(4)
    before = [still.detach().clone(), flat.detach().clone()]
    NormalisedStep([{"params": [still, flat], "lr": 1.0, "normalise": "whole"}]).step()
    assert torch.equal(still.detach(), before[0])
    assert torch.equal(flat.detach(), before[1])


def test_a_closure_is_called_once_and_its_loss_returned() -> None:
    moved = parameter(3)
    calls = []

    def closure() -> torch.Tensor:
        calls.append(1)
        loss = moved.square().sum()
        loss.backward()
        return loss

    optimiser = NormalisedStep([{"params": [moved], "lr": 0.1, "normalise": "whole"}])
    expected = moved.detach().square().sum()
    assert optimiser.step(closure) == expected
    assert len(calls) == 1


def test_the_state_survives_saving() -> None:
    moved = parameter(2, 3)
    group = {"params": [moved], "lr": 0.1, "normalise": "mean", "fixed": 0.5, "momentum": 0.9}
    optimiser = NormalisedStep([group])
    optimiser.step()
    again = NormalisedStep([{"params": [moved], "lr": 1.0}])
    again.load_state_dict(optimiser.state_dict())
    kept = again.param_groups[0]
    assert (kept["normalise"], kept["fixed"], kept["lr"]) == ("mean", 0.5, 0.1)
