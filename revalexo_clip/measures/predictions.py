"""What a recogniser makes of test windows, and what is true of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from revalexo_clip.measures.windows import Bools, Floats, Ints


@dataclass(frozen=True)
class Predictions:
    """Of N test windows, at K horizons, among A activities."""

    logits_NKA: npt.NDArray[np.float32]
    label_NK: Ints
    """The activity at each horizon, `UNLABELLED` outside every segment."""
    transition_NK: Bools
    """Whether the body is between two activities."""
    clip_N: Ints
    """Index into the clips."""
    start_N: Floats
    """Start in the clip [s]."""
    clip_subjects: tuple[str, ...]
    """Subject of each clip."""
    clip_names: tuple[str, ...]
    """`subject/pair id` of each clip."""
    activities: tuple[str, ...]
    """Activity names; a label is an index into them."""
    horizons: tuple[float, ...]
    """How long after a window's end its K labels are read [s]."""

    def __len__(self) -> int:
        return len(self.clip_N)

    def predicted(self) -> Ints:
        """[N, K] the activity with the largest logit; of several the first."""
        return np.asarray(self.logits_NKA.argmax(axis=2), dtype=np.int64)
