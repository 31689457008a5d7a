"""Windows of takes that carry narrations, and where windows around narrations lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from revalexo_clip.data import windows
from revalexo_clip.data.base import Windows
from revalexo_clip.data.dataset import ClipWindows, LabelledClips
from revalexo_clip.data.ego4d.rows import Faults
from revalexo_clip.data.ego4d.take import SILENCE, Narrations
from revalexo_clip.data.windows import Floats


class NarratedClips(LabelledClips):
    """IMU windows of clips that have narrations."""

    narrations: Sequence[Narrations] = ()
    """The narrations of each recording that `NarratedTakes.places_windows` accepts, with times counted from its start:
    those of `clip_recordings`."""
    faults: Mapping[str, Faults]
    """What is left out of each take, by its name."""

    def texts(self, clip: int) -> Narrations:
        """Return the narrations of a clip: their times [s in the clip], and the sentences.

        The narrations of a window that starts at `start` are `texts(clip).between(start, start + window)`.
        """
        if not self.narrations:
            return SILENCE
        found = self.narrations[int(self.clip_recordings[clip])]
        offset = float(self.clip_offsets[clip])
        return found.between(offset, offset + float(self.index.duration_N[clip]))

    def texts_of(self, window: int, epoch: int = 0) -> Narrations:
        """Return the narrations of a window in an epoch: their times [s in the window], and the sentences."""
        start = self._start(epoch, window)
        return self.texts(int(self.windows.clip_N[window])).between(start, start + self.imu_spec.window)


class NarratedWindows(NarratedClips, ClipWindows):
    """`NarratedClips` with video."""


def around(
    narrations: Sequence[Narrations], begin_N: Floats, end_N: Floats, window: float, jitter: float
) -> tuple[Windows, Floats]:
    """Return one window around each different moment of narrations, and the segment length of each clip [N].

    `narrations` are those of each clip, with times in the clip, which can be used from `begin_N` to `end_N` [s]. A
    window near an end of this time is moved inside. The start of a window is drawn from a segment of the length
    `jitter` [s], so that the narration is in its middle on average; `start_N` of the result is the start of the
    segment. Without jitter, segments have length 0.
    """
    segment_N = np.minimum(jitter, np.maximum(end_N - begin_N - window, 0.0))
    clips, starts = [], []
    for clip, found in enumerate(narrations):
        time_S = found.time_S[(found.time_S >= begin_N[clip]) & (found.time_S <= end_N[clip])]
        last = max(float(end_N[clip] - window - segment_N[clip]), float(begin_N[clip]))
        start_S = np.clip(time_S - (window + segment_N[clip]) / 2, begin_N[clip], last)
        start_W = np.unique(np.round(start_S, windows.TIME_DECIMALS))
        clips.append(np.full(len(start_W), clip))
        starts.append(start_W)
    return Windows(
        np.concatenate(clips).astype(np.int64) if clips else np.empty(0, np.int64),
        np.concatenate(starts) if starts else np.empty(0),
    ), segment_N
