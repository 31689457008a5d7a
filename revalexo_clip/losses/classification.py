"""Losses of activity classifiers: cross-entropy and distillation, over all horizons."""

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
    """A classification loss with its parameters, if any."""

    is_loss = True
    """Lets optimizers give the parameters a learning rate of their own, `loss_lr_scale`."""

    @abstractmethod
    def forward(self, output: ClassifierOutput, label_BK: Tensor, teacher: ClassifierOutput | None) -> Tensor:
        """Compute the loss [B] of each window. The loss of a batch is the mean, however the batch is divided.

        `label_BK` [B, K] int64 is `UNLABELLED` if a window has no label at a horizon; the loss there is 0. `teacher` is
        the teacher's output for the windows, or None without a teacher.
        """


class ClassificationLoss(Component, ABC):
    """Base class of losses of activity classifiers."""

    @property
    def teacher_checkpoint(self) -> Path | None:
        """Run folder or checkpoint of the teacher, an activity classifier; None without a teacher."""
        return None

    @abstractmethod
    def build(self, features: int, teacher_features: int | None) -> ClassificationLossModule:
        """Build the loss, given the number of features of the activity classifier and of its teacher."""


class CrossEntropy(ClassificationLoss):
    """Cross-entropy with the labels, averaged over horizons."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of each label that is spread evenly over all activities (Szegedy et al., 2016, arXiv:1512.00567)."""

    def build(self, features: int, teacher_features: int | None) -> ClassificationLossModule:
        """See `ClassificationLoss.build`."""
        return CrossEntropyLoss(self.label_smoothing)


class CrossEntropyLoss(ClassificationLossModule):
    """See `CrossEntropy`."""

    def __init__(self, label_smoothing: float) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, output: ClassifierOutput, label_BK: Tensor, teacher: ClassifierOutput | None) -> Tensor:
        """See `ClassificationLossModule.forward`."""
        losses_J = functional.cross_entropy(
            output.logits_BKA.flatten(end_dim=1).float(),
            label_BK.flatten(),
            ignore_index=UNLABELLED,
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
        loss_B: Tensor = losses_J.view(label_BK.shape).mean(dim=1)
        return loss_B


class Distillation(ClassificationLoss):
    """Distillation from a frozen teacher to a student, in addition to the labels.

    For example, the teacher classifies from IMU and video and the student from IMU alone.
    """

    teacher: Path
    """Run folder or checkpoint of a finetuned activity classifier with the same activities and horizons."""
    by: Literal["logits", "features"] = "logits"
    """`logits`: match the teacher's probabilities of activities (Hinton et al., 2015, arXiv:1503.02531). `features`:
    match the teacher's features by a linear map of the student's (FitNets; Romero et al., 2015, arXiv:1412.6550)."""
    temperature: PositiveFloat = 4.0
    """Temperature by which logits are divided before they are compared."""
    weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Weight of the teacher in the loss; the labels have the rest."""
    labels: ClassificationLoss = CrossEntropy()
    """Loss of the labels."""

    @property
    def teacher_checkpoint(self) -> Path | None:
        """See `ClassificationLoss.teacher_checkpoint`."""
        return self.teacher

    def build(self, features: int, teacher_features: int | None) -> ClassificationLossModule:
        """See `ClassificationLoss.build`. Raises `ConfigError` if the loss of the labels has a teacher too."""
        if self.labels.teacher_checkpoint is not None:
            raise ConfigError("loss.labels: the loss of the labels cannot have its own teacher; use CrossEntropy")
        assert teacher_features is not None
        return DistillationLoss(self, features, teacher_features)


class DistillationLoss(ClassificationLossModule):
    """See `Distillation`."""

    def __init__(self, distillation: Distillation, features: int, teacher_features: int) -> None:
        super().__init__()
        self.settings = distillation
        self.labels = distillation.labels.build(features, None)
        self.regressor = nn.Linear(features, teacher_features) if distillation.by == "features" else None

    def forward(self, output: ClassifierOutput, label_BK: Tensor, teacher: ClassifierOutput | None) -> Tensor:
        """See `ClassificationLossModule.forward`."""
        assert teacher is not None
        weight = self.settings.weight
        guided_B = self._by_logits(output, teacher) if self.regressor is None else self._by_features(output, teacher)
        loss_B: Tensor = (1 - weight) * self.labels(output, label_BK, None) + weight * guided_B
        return loss_B

    def _by_logits(self, output: ClassifierOutput, teacher: ClassifierOutput) -> Tensor:
        """Compute the divergence of the student from the teacher, averaged over horizons.

        It is multiplied by the squared temperature, so that the size of gradients does not depend on the temperature.
        """
        temperature = self.settings.temperature
        student_BKA = (output.logits_BKA.float() / temperature).log_softmax(dim=2)
        teacher_BKA = (teacher.logits_BKA.float() / temperature).log_softmax(dim=2)
        divergence_BKA = functional.kl_div(student_BKA, teacher_BKA, reduction="none", log_target=True)
        loss_B: Tensor = temperature**2 * divergence_BKA.sum(dim=2).mean(dim=1)
        return loss_B

    def _by_features(self, output: ClassifierOutput, teacher: ClassifierOutput) -> Tensor:
        """Compute the mean squared difference of the features."""
        assert self.regressor is not None
        predicted_BF: Tensor = self.regressor(output.features_BF)
        loss_B: Tensor = (predicted_BF.float() - teacher.features_BF.float()).square().mean(dim=1)
        return loss_B
