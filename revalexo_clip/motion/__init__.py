"""Measured image motion: from frames to motion on a grid, and its resampling.

- `base`: the interface of fronts, which measure motion between two frames
- `phase`, `gradient`: fronts, by phase correlation and by least squares on image gradients
- `track`: the motion of a whole clip, and its resampling to the moments of a window
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from revalexo_clip.motion.base import Front
from revalexo_clip.motion.gradient import GradientFlow
from revalexo_clip.motion.phase import PhaseCorrelation
from revalexo_clip.motion.track import MotionTrack, measure, resample

FrontName = Literal["phase", "gradient"]

FRONTS: Mapping[FrontName, type[Front]] = MappingProxyType({"phase": PhaseCorrelation, "gradient": GradientFlow})
"""All fronts by name."""

__all__ = ["FRONTS", "Front", "FrontName", "GradientFlow", "MotionTrack", "PhaseCorrelation", "measure", "resample"]
