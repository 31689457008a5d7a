"""Losses for contrastive pretraining and for activity classifiers."""

from revalexo_clip.core.types import ClassifierOutput
from revalexo_clip.losses.base import Loss, LossModule, Overlap
from revalexo_clip.losses.classification import ClassificationLoss, ClassificationLossModule, CrossEntropy, Distillation
from revalexo_clip.losses.info_nce import InfoNCE
from revalexo_clip.losses.siglip import SigLIP

__all__ = [
    "ClassificationLoss",
    "ClassificationLossModule",
    "ClassifierOutput",
    "CrossEntropy",
    "Distillation",
    "InfoNCE",
    "Loss",
    "LossModule",
    "Overlap",
    "SigLIP",
]
