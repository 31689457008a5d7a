"""Objectives: contrastive ones, and those of recognisers."""

from revalexo_clip.losses.base import Loss, LossModule
from revalexo_clip.losses.classification import (
    CrossEntropy,
    Distillation,
    Recognised,
    RecognitionLoss,
    RecognitionLossModule,
)
from revalexo_clip.losses.info_nce import InfoNCE
from revalexo_clip.losses.overlap import Overlap
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
