"""Contrastive objectives."""

from revalexo_clip.losses.base import Loss, LossModule
from revalexo_clip.losses.info_nce import InfoNCE
from revalexo_clip.losses.overlap import Overlap
from revalexo_clip.losses.siglip import SigLIP

__all__ = ["InfoNCE", "Loss", "LossModule", "Overlap", "SigLIP"]
