"""Predictions for samples as they come: a ring buffer of one window, and the same windows as in a recording."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.types import ImuSpec
from revalexo_clip.data.imu import Samples
from revalexo_clip.data.windows import TIME_DECIMALS
from revalexo_clip.export.predictions import Predictions, Probabilities, predictions_of
from revalexo_clip.export.sliding_windows import Table, finite, refuse_other_units, stacked

_BATCH = 64
"""Windows that are classified at a time, if many samples are pushed at once."""

_HALF = 0.5 * 10**-TIME_DECIMALS
"""Windows that lack less than this share of a stride are complete, as in `evaluation_windows`."""


class PredictionStream:
    """Takes samples in chunks of any size, and returns predictions every `stride` seconds.

    The predictions are those of `predict_recording` for all samples so far. Memory does not grow: the stream keeps one
    window of samples. If samples were lost, `reset` it, because windows must not reach over gaps.
    """

    def __init__(
        self,
        spec: ImuSpec,
        labels: Sequence[str],
        classify: Callable[[Samples], Probabilities],
        *,
        horizons: int,
        rate: float,
        stride: float,
        start: float = 0.0,
        check_units: bool = True,
    ) -> None:
        """See `ExportedClassifier.stream`; `classify` maps windows [B, L, C] to probabilities [B, horizons, A]."""
        if rate != spec.rate:
            raise ValueError(
                f"a stream takes samples at the rate of the classifier, {spec.rate:g} Hz, not {rate:g} Hz: set the "
                "sensor to this rate, or resample the samples before they are pushed"
            )
        steps = stride * spec.rate
        if not (0.5 < steps < math.inf and abs(steps - round(steps)) <= 1e-6):
            raise ValueError(
                f"stride must be a whole number of samples at {spec.rate:g} Hz, 1 or more: {stride:g} s are {steps:g}"
            )
        self._spec, self._labels, self._classify = spec, tuple(labels), classify
        self._stride, self._step = stride, round(steps)
        self._check_units = check_units
        self._outputs = (horizons, len(self._labels))
        # A window ends up to one sample after the last one in it, if its length is no whole number of samples.
        self._ring_RC = np.zeros((spec.samples + 1, len(spec.channels)), dtype=np.float32)
        self.reset(start)

    def reset(self, start: float = 0.0) -> None:
        """Forget all samples; `start` is the time of the next one [s]."""
        if not math.isfinite(start):
            raise ValueError(f"start must be a time [s], not {start}")
        self._start = start
        self._taken, self._done = 0, 0

    @property
    def time(self) -> float:
        """Time of the next sample [s]."""
        return self._start + self._taken / self._spec.rate

    def push(self, samples: npt.NDArray[np.generic] | Table) -> Predictions:
        """Take samples, and return the predictions of all windows that they complete; often none.

        - `samples`: an array [m, C] in the order and units of `spec`, or one sample [C]; or named columns [m]. m may be
          0.

        Raises `ValueError`, and takes none of the samples, if a value is not finite, a channel is missing, the shape is
        wrong, or, in the first window, a sensor seems to be in another unit (g or deg/s).
        """
        samples_mC = self._checked(samples)
        if self._check_units and self._done == 0:
            self._refuse_other_units(samples_mC)
        ends: list[float] = []
        windows: list[Samples] = []
        found: list[Probabilities] = []
        while len(samples_mC):
            needed = self._needed() - self._taken
            self._put(samples_mC[:needed])
            if len(samples_mC) < needed:
                break
            samples_mC = samples_mC[needed:]
            ends.append(self._end())
            windows.append(self._window())
            self._done += 1
            if len(windows) == _BATCH:
                found.append(self._classify(np.stack(windows)))
                windows = []
        if windows:
            found.append(self._classify(np.stack(windows)))
        probability_NKA = np.concatenate(found) if found else np.zeros((0, *self._outputs), dtype=np.float32)
        return predictions_of(np.array(ends, dtype=np.float64), probability_NKA, self._labels)

    def _refuse_other_units(self, samples_mC: Samples) -> None:
        """Raise `ValueError` if samples complete the first window, and it seems to be in another unit."""
        first_LC = np.concatenate([self._ring_RC[: self._taken], samples_mC])[: self._spec.samples]
        if len(first_LC) == self._spec.samples:
            refuse_other_units(first_LC, self._spec, self._spec.rate)

    def _needed(self) -> int:
        """Return the number of samples from the start with which the next window is complete."""
        if self._done == 0:
            return self._spec.samples
        least: float = self._spec.rate * (self._spec.window + (self._done - _HALF) * self._stride)
        return max(math.ceil(least), self._done * self._step + self._spec.samples)

    def _put(self, samples_mC: Samples) -> None:
        """Write samples to the ring."""
        size = len(self._ring_RC)
        kept_mC = samples_mC[-size:]
        first = self._taken + len(samples_mC) - len(kept_mC)
        self._ring_RC[np.arange(first, first + len(kept_mC)) % size] = kept_mC
        self._taken += len(samples_mC)

    def _window(self) -> Samples:
        """Copy the samples of the next window, which is complete."""
        first = self._done * self._step
        return self._ring_RC[np.arange(first, first + self._spec.samples) % len(self._ring_RC)]

    def _end(self) -> float:
        """Return the end of the next window [s]."""
        return self._start + round(self._done * self._stride, TIME_DECIMALS) + self._spec.window

    def _checked(self, samples: npt.NDArray[np.generic] | Table) -> Samples:
        """Return samples [m, C]. Raises `ValueError` or `TypeError`, see `push`."""
        channels = self._spec.channels
        if isinstance(samples, np.ndarray):
            given_mC = np.atleast_2d(samples)
        elif hasattr(samples, "keys"):
            given_mC = stacked(samples, channels)
        else:
            raise TypeError(f"samples must be an array [m, C] or named columns, not {type(samples).__name__}")
        if given_mC.ndim != 2 or given_mC.shape[1] != len(channels):
            raise ValueError(
                f"samples must be [m, {len(channels)}] in the order of spec.channels, or one sample "
                f"[{len(channels)}], not {list(given_mC.shape)}"
            )
        return finite(given_mC, channels)
