"""Contrastive objectives."""

from revalexo_clip.losses.base import Loss, LossModule
from revalexo_clip.losses.info_nce import InfoNCE
from revalexo_clip.losses.overlap import overlapping

__all__ = ["InfoNCE", "Loss", "LossModule", "overlapping"]
