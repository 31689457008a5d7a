"""Losses for contrastive pretraining and for activity classifiers."""

from revalexo_clip.core.types import ClassifierOutput
from revalexo_clip.losses.base import Loss, LossModule, Vector
from revalexo_clip.losses.classification import ClassificationLoss, ClassificationLossModule, CrossEntropy, Distillation
from revalexo_clip.losses.info_nce import InfoNCE
from revalexo_clip.losses.nearest_neighbours import NearestNeighbours
from revalexo_clip.losses.overlap import Overlap
from revalexo_clip.losses.per_frame import PerFrame
from revalexo_clip.losses.queue_distillation import QueueDistillation
from revalexo_clip.losses.self_contrast import SelfContrast
from revalexo_clip.losses.siglip import SigLIP
from revalexo_clip.losses.temporal_contrast import TemporalContrast
from revalexo_clip.losses.terms import Sum, Term
from revalexo_clip.losses.text_contrast import TextContrast

__all__ = [
    "ClassificationLoss",
    "ClassificationLossModule",
    "ClassifierOutput",
    "CrossEntropy",
    "Distillation",
    "InfoNCE",
    "Loss",
    "LossModule",
    "NearestNeighbours",
    "Overlap",
    "PerFrame",
    "QueueDistillation",
    "SelfContrast",
    "SigLIP",
    "Sum",
    "TemporalContrast",
    "Term",
    "TextContrast",
    "Vector",
]
