"""Faults of sensors that only their own samples show: resampling to a dataset's rate hides them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from revalexo_clip.data.revalexo.check.lost_rows import clock_faults
from revalexo_clip.data.revalexo.check.signals import check_signals
from revalexo_clip.devices.base import DeviceRecording
from revalexo_clip.devices.spans import sensors_of

_KINDS = ("saturated_channel", "held_rows")


def fault_notes(recording: DeviceRecording) -> Iterator[str]:
    """Yield a sentence on each clipped channel, and on samples that were lost or repeated; samples must be finite."""
    for stream in sensors_of(recording):
        for _, message in clock_faults(stream.time_N, f"IMU {stream.segment}", declared=True):
            yield message
        for kind, message in check_signals(stream.values_NC.astype(np.float32), stream.channels, stream.rate):
            if kind in _KINDS:
                yield message
