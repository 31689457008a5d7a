"""Objectives: contrastive ones, and those of recognisers."""

from revalexo_clip.core.types import Recognised
from revalexo_clip.losses.base import Loss, LossModule, Overlap
from revalexo_clip.losses.classification import CrossEntropy, Distillation, RecognitionLoss, RecognitionLossModule
from revalexo_clip.losses.info_nce import InfoNCE
from revalexo_clip.losses.siglip import SigLIP

__all__ = [
    "CrossEntropy",
    "Distillation",
    "InfoNCE",
    "Loss",
    "LossModule",
    "Overlap",
    "Recognised",
    "RecognitionLoss",
    "RecognitionLossModule",
    "SigLIP",
]
