"""Labelled stretches of clips, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from revalexo_clip.data.windows import Floats, Ints


@dataclass(frozen=True)
class Segments:
    """Labelled stretches of N clips, those of clip i at `offset_N1[i]:offset_N1[i + 1]`, ascending by start."""

    offset_N1: Ints
    start_S: Floats
    """[s]"""
    end_S: Floats
    """[s]"""
    label_S: Ints

    def of(self, clip: int) -> tuple[Floats, Floats, Ints]:
        """Starts [s], ends [s] and labels of one clip's segments."""
        place = slice(self.offset_N1[clip], self.offset_N1[clip + 1])
        return self.start_S[place], self.end_S[place], self.label_S[place]

    def take(self, clip_M: Ints) -> Segments:
        """The segments of some of the clips, in that order."""
        count_M = np.diff(self.offset_N1)[clip_M]
        offset_M1 = np.concatenate([[0], np.cumsum(count_M)])
        place_S = np.repeat(self.offset_N1[clip_M] - offset_M1[:-1], count_M) + np.arange(offset_M1[-1])
        return Segments(offset_M1, self.start_S[place_S], self.end_S[place_S], self.label_S[place_S])

    @staticmethod
    def gather(clips: Iterable[Sequence[tuple[float, float, int]]]) -> Segments:
        """From (start, end, label) triples, clip by clip."""
        ordered = [sorted(triples) for triples in clips]
        flat = np.array([triple for triples in ordered for triple in triples], dtype=np.float64).reshape(-1, 3)
        return Segments(
            offset_N1=np.cumsum([0, *(len(triples) for triples in ordered)], dtype=np.int64),
            start_S=flat[:, 0].copy(),
            end_S=flat[:, 1].copy(),
            label_S=flat[:, 2].astype(np.int64),
        )
