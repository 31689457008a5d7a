"""Objectives of an activity classifier: how far its logits are from the activities, at all horizons."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional

from revalexo_clip.core.component import Component
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import UNLABELLED, ClassifierOutput


class ClassificationLossModule(nn.Module, ABC):
    """An objective, with parameters of its own if it has any."""

    @abstractmethod
    def forward(self, found: ClassifierOutput, label_BK: Tensor, taught: ClassifierOutput | None) -> Tensor:
        """The loss [B] of each window, so that the loss of a batch is its mean, however the batch is divided.

        `label_BK` [B, K] int64 holds `UNLABELLED` where a window has no label, which costs nothing there. `taught` is
        what the teacher makes of the windows, where there is one.
        """


class ClassificationLoss(Component, ABC):
    """An objective of an activity classifier."""

    @property
    def taught_by(self) -> Path | None:
        """Run or checkpoint of an activity classifier that has to be there; None for an objective without a teacher."""
        return None

    @abstractmethod
    def build(self, features: int, teacher_features: int | None) -> ClassificationLossModule:
        """The objective, for so many features of the activity classifier and of its teacher."""


class CrossEntropy(ClassificationLoss):
    """Cross-entropy with the activities, the mean over horizons."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of each label that all activities have alike (Szegedy et al., 2016, arXiv:1512.00567)."""

    def build(self, features: int, teacher_features: int | None) -> ClassificationLossModule:
        """See `ClassificationLoss.build`."""
        return CrossEntropyLoss(self.label_smoothing)


class CrossEntropyLoss(ClassificationLossModule):
    """See `CrossEntropy`."""

    def __init__(self, label_smoothing: float) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, found: ClassifierOutput, label_BK: Tensor, taught: ClassifierOutput | None) -> Tensor:
        """See `ClassificationLossModule.forward`."""
        losses_J = functional.cross_entropy(
            found.logits_BKA.flatten(end_dim=1).float(),
            label_BK.flatten(),
            ignore_index=UNLABELLED,
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
        loss_B: Tensor = losses_J.view(label_BK.shape).mean(dim=1)
        return loss_B


class Distillation(ClassificationLoss):
    """A frozen teacher guides a student, beside the labels: an activity classifier of IMU and video one of IMU alone, say."""

    teacher: Path
    """Run folder or checkpoint of a finetuned activity classifier, of the same activities and horizons."""
    by: Literal["logits", "features"] = "logits"
    """`logits`: the student is to be as unsure between activities as the teacher (Hinton et al., 2015,
    arXiv:1503.02531). `features`: a linear map of its features is to be the teacher's (FitNets; Romero et al., 2015,
    arXiv:1412.6550)."""
    temperature: PositiveFloat = 4.0
    """What logits are divided by before they are compared."""
    weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Of the teacher in the loss; the rest is that of the labels."""
    labels: ClassificationLoss = CrossEntropy()
    """Objective of the labels."""

    @property
    def taught_by(self) -> Path | None:
        """See `ClassificationLoss.taught_by`."""
        return self.teacher

    def build(self, features: int, teacher_features: int | None) -> ClassificationLossModule:
        """See `ClassificationLoss.build`. Raises `ConfigError` where the objective of the labels has a teacher too."""
        if self.labels.taught_by is not None:
            raise ConfigError("loss.labels: the objective of the labels cannot have a teacher of its own")
        assert teacher_features is not None
        return DistillationLoss(self, features, teacher_features)


class DistillationLoss(ClassificationLossModule):
    """See `Distillation`."""

    def __init__(self, distillation: Distillation, features: int, teacher_features: int) -> None:
        super().__init__()
        self.settings = distillation
        self.labels = distillation.labels.build(features, None)
        self.regressor = nn.Linear(features, teacher_features) if distillation.by == "features" else None

    def forward(self, found: ClassifierOutput, label_BK: Tensor, taught: ClassifierOutput | None) -> Tensor:
        """See `ClassificationLossModule.forward`."""
        assert taught is not None
        weight = self.settings.weight
        guided_B = self._by_logits(found, taught) if self.regressor is None else self._by_features(found, taught)
        loss_B: Tensor = (1 - weight) * self.labels(found, label_BK, None) + weight * guided_B
        return loss_B

    def _by_logits(self, found: ClassifierOutput, taught: ClassifierOutput) -> Tensor:
        """Divergence of the student from the teacher, the mean over horizons.

        Times the square of the temperature, so that gradients are of the same size at any.
        """
        temperature = self.settings.temperature
        student_BKA = (found.logits_BKA.float() / temperature).log_softmax(dim=2)
        teacher_BKA = (taught.logits_BKA.float() / temperature).log_softmax(dim=2)
        divergence_BKA = functional.kl_div(student_BKA, teacher_BKA, reduction="none", log_target=True)
        loss_B: Tensor = temperature**2 * divergence_BKA.sum(dim=2).mean(dim=1)
        return loss_B

    def _by_features(self, found: ClassifierOutput, taught: ClassifierOutput) -> Tensor:
        """Mean squared difference of the features."""
        assert self.regressor is not None
        guess_BF: Tensor = self.regressor(found.features_BF)
        loss_B: Tensor = (guess_BF.float() - taught.features_BF.float()).square().mean(dim=1)
        return loss_B
