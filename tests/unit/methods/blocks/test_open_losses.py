"""Losses for open sets: closed cases by hand, and the batches that have no pairs."""

import torch
from torch.nn import functional

from expressway.methods.blocks.open_losses import (
    reciprocal_margin,
    reciprocal_scores,
    supervised_contrastive,
)


def test_a_clip_scores_high_where_the_point_is_far() -> None:
    clips, points = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    # 0 / 2 - 1 and 4 / 2 + 1
    assert reciprocal_scores(clips, points).tolist() == [[-1.0, 3.0]]


def test_the_margin_counts_only_what_is_outside() -> None:
    clips, own = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.zeros(2, 2)
    # distances 2 and 0 against R - 1 = 0.5
    assert reciprocal_margin(clips, own, torch.tensor(1.5)).item() == 0.75
    radius = torch.zeros((), requires_grad=True)
    reciprocal_margin(clips, own, radius).backward()
    assert radius.grad.item() == -1.0


def test_supervised_contrastive_equals_its_sum() -> None:
    torch.manual_seed(0)
    clips, labels = torch.randn(5, 4), torch.tensor([0, 1, 0, 0, 1])
    z, total, anchors = functional.normalize(clips, dim=-1), 0.0, 0
    for i in range(5):
        others = [j for j in range(5) if j != i]
        norm = torch.stack([z[i] @ z[m] / 0.5 for m in others]).logsumexp(0)
        same = [j for j in others if labels[j] == labels[i]]
        total += -0.5 * sum(z[i] @ z[j] / 0.5 - norm for j in same) / len(same)
        anchors += 1
    torch.testing.assert_close(supervised_contrastive(clips, labels), total / anchors)


def test_a_clip_alone_in_its_class_is_no_anchor_but_repels() -> None:
    clips, labels = torch.eye(3), torch.tensor([0, 0, 1])
    # both anchors: cosine 0 to everybody, so log 2 over the two others, times 0.5
    expected = 0.5 * torch.tensor(2.0).log()
    torch.testing.assert_close(supervised_contrastive(clips, labels), expected)


def test_without_pairs_the_loss_is_zero_and_its_gradient_finite() -> None:
    for labels in (torch.arange(4), torch.tensor([0])):
        clips = torch.randn(len(labels), 3, requires_grad=True)
        loss = supervised_contrastive(clips, labels)
        loss.backward()
        assert loss.item() == 0.0
        assert torch.equal(clips.grad, torch.zeros_like(clips))
