"""Weights of modalities: agreement, fixed shares, learned ones; what is missing has none."""

import pytest
import torch
from torch.nn import functional

from expressway.methods.blocks.fusion import Fusion, agreement_weights, fixed_weights


def unit(*rows: tuple[float, ...]) -> torch.Tensor:
    return functional.normalize(torch.tensor([rows]).float(), dim=-1)


def test_what_agrees_weighs_more() -> None:
    vectors = unit((1, 0, 0), (1, 0.1, 0), (0, 0, 1))
    weights = agreement_weights(vectors, torch.ones(1, 3, dtype=torch.bool), 0.1)[0]
    assert weights[0] > 0.45
    assert weights[1] > 0.45
    assert weights[2] < 0.01
    cosine = float(vectors[0, 0] @ vectors[0, 1])
    expected = torch.tensor([cosine / 2, cosine / 2, 0.0]).div(0.1).softmax(0)
    torch.testing.assert_close(weights, expected)


def test_a_single_modality_has_all_the_weight() -> None:
    present = torch.tensor([[False, True, False]])
    vectors = unit((1, 0), (0, 1), (1, 1))
    for rule in ("adaptive", "fixed", "learned"):
        fusion = Fusion(rule, 3, 0.1, 0.3)
        assert fusion.weights(vectors, present).tolist() == [[0, 1, 0]]
        torch.testing.assert_close(fusion(vectors, present), vectors[:, 1])


def test_a_missing_modality_decides_nothing() -> None:
    present = torch.tensor([[True, True, False]])
    first, second = unit((1, 0), (1, 1), (0, 1)), unit((1, 0), (1, 1), (-1, 0))
    for rule in ("adaptive", "fixed", "learned"):
        fusion = Fusion(rule, 3, 0.1, 0.5)
        torch.testing.assert_close(fusion(first, present), fusion(second, present))


@pytest.mark.parametrize(
    ("present", "expected"),
    [([1, 1, 1], [0.6, 0.2, 0.2]), ([1, 0, 1], [0.75, 0, 0.25]), ([0, 1, 1], [0, 0.5, 0.5])],
)
def test_fixed_weights_share_what_is_missing(present, expected) -> None:
    found = fixed_weights(torch.tensor([present]).bool(), 0.6)
    torch.testing.assert_close(found, torch.tensor([expected]))


def test_adaptive_weights_have_no_gradient_and_learned_ones_do() -> None:
    vectors = unit((1, 0), (0.5, 1)).requires_grad_()
    present = torch.ones(1, 2, dtype=torch.bool)
    assert not Fusion("adaptive", 2, 0.1, 0.5).weights(vectors, present).requires_grad
    learned = Fusion("learned", 2, 0.1, 0.5)
    learned(vectors, present)[0, 0].backward()
    assert learned.scores.grad.abs().sum() > 0
