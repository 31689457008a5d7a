"""Losses of activity classifiers against plain references, and distillation from a teacher."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.losses import ClassifierOutput, CrossEntropy, Distillation
from revalexo_clip.losses.classification import ClassificationLossModule

TEACHER = Path("runs/teacher")


def made(windows: int, horizons: int, activities: int, features: int, seed: int) -> ClassifierOutput:
    rng = torch.Generator().manual_seed(seed)
    return ClassifierOutput(
        torch.randn(windows, horizons, activities, generator=rng, dtype=torch.float64).float().requires_grad_(),
        torch.randn(windows, features, generator=rng, dtype=torch.float64).float().requires_grad_(),
    )


def plain_cross_entropy(logits_A: Tensor, label: int, smoothing: float) -> Tensor:
    probability_A = logits_A.exp() / logits_A.exp().sum()
    wanted_A = torch.full_like(logits_A, smoothing / len(logits_A))
    wanted_A[label] += 1 - smoothing
    return -(wanted_A * probability_A.log()).sum()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_the_mean_over_horizons_and_zero_without_a_label(smoothing: float) -> None:
    found = made(3, 2, 4, 5, seed=1)
    label_BK = torch.tensor([[0, 3], [-1, 2], [-1, -1]])
    loss_B = CrossEntropy(label_smoothing=smoothing).build(5, None)(found, label_BK, None)
    expected = [
        sum(
            plain_cross_entropy(found.logits_BKA[row, k].double(), label, smoothing).item()
            for k, label in enumerate(labels)
            if label >= 0
        )
        / 2
        for row, labels in enumerate(label_BK.tolist())
    ]
    assert loss_B.tolist() == pytest.approx(expected, rel=1e-5)
    loss_B.sum().backward()
    assert found.logits_BKA.grad is not None
    assert (found.logits_BKA.grad[2] == 0).all()


def test_logits_are_compared_with_those_of_the_teacher() -> None:
    student, teacher = made(3, 2, 4, 5, seed=1), made(3, 2, 4, 6, seed=2)
    loss = Distillation(teacher=TEACHER, temperature=3.0, weight=1.0).build(5, 6)
    loss_B = loss(student, torch.zeros(3, 2, dtype=torch.int64), teacher)
    p_BKA, q_BKA = ((found.logits_BKA.double() / 3).softmax(dim=2) for found in (teacher, student))
    expected_B = 9 * (p_BKA * (p_BKA.log() - q_BKA.log())).sum(dim=2).mean(dim=1)
    torch.testing.assert_close(loss_B.double(), expected_B, rtol=1e-4, atol=1e-6)
    assert loss(teacher, torch.zeros(3, 2, dtype=torch.int64), teacher).abs().max() < 1e-6


def test_features_of_another_size_are_mapped_to_those_of_the_teacher() -> None:
    student, teacher = made(3, 2, 4, 5, seed=1), made(3, 2, 4, 6, seed=2)
    loss = Distillation(teacher=TEACHER, by="features", weight=1.0).build(5, 6)
    (weight, bias) = dict(loss.named_parameters()).values()
    loss_B = loss(student, torch.zeros(3, 2, dtype=torch.int64), teacher)
    expected_B = (student.features_BF @ weight.T + bias - teacher.features_BF).square().mean(dim=1)
    torch.testing.assert_close(loss_B, expected_B)


@pytest.mark.long
@pytest.mark.parametrize("by", ["logits", "features"])
def test_the_loss_is_a_weighted_mean_of_labels_and_teacher(by: str) -> None:
    student, teacher = made(3, 2, 4, 5, seed=1), made(3, 2, 4, 5, seed=2)
    label_BK = torch.tensor([[0, 1], [2, 3], [1, -1]])

    def loss_of(weight: float) -> ClassificationLossModule:
        torch.manual_seed(0)
        return Distillation.model_validate({"teacher": TEACHER, "by": by, "weight": weight}).build(5, 5)

    labels, mixed, taught = (loss_of(weight)(student, label_BK, teacher) for weight in (0.0, 0.25, 1.0))
    torch.testing.assert_close(labels, CrossEntropy().build(5, None)(student, label_BK, None))
    torch.testing.assert_close(mixed, 0.75 * labels + 0.25 * taught)


def test_the_loss_of_the_labels_cannot_have_a_teacher() -> None:
    with pytest.raises(ConfigError, match=r"loss\.labels: the loss of the labels cannot have its own teacher"):
        Distillation(teacher=TEACHER, labels=Distillation(teacher=TEACHER)).build(5, 5)
