"""The module of an exported activity classifier: predictions for windows, whole recordings and streams."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from revalexo_clip.data.imu import Samples
from revalexo_clip.export.classifier_description import ClassifierDescription
from revalexo_clip.export.exported import Exported, ImuInput
from revalexo_clip.export.predictions import Predictions, Probabilities, predictions_of
from revalexo_clip.export.sliding_windows import ImuWindow, Table
from revalexo_clip.export.stream import PredictionStream
from revalexo_clip.models.dual_encoder import Standardization


class ExportedClassifier(Exported, ImuInput):
    """Activity classifier for IMU windows in the units and channel order of its `spec`, and for recordings."""

    description: ClassifierDescription
    over_recordings = "predict_recording"

    def __init__(self, description: ClassifierDescription, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.description = description
        self.spec = description.imu
        self.samples = Standardization(description.imu)
        self.encoder = encoder
        self.head = head

    @property
    def labels(self) -> tuple[str, ...]:
        """Activities, in the order of the probabilities."""
        return self.description.labels

    @property
    def horizons(self) -> tuple[float, ...]:
        """Times after the end of a window at which activities are predicted [s]."""
        return self.description.horizons

    def inputs_from(self, **windows: Tensor) -> tuple[Tensor, ...]:
        """See `Exported.inputs_from`; the name is `imu`."""
        return (self.standardized(windows["imu"]),)

    def outputs(self, *inputs: Tensor) -> Mapping[str, Tensor]:
        """See `Exported.outputs`: `logits` and `probabilities`, both [B, K, A]."""
        logits_BKA: Tensor = self.head(self.encoder(*inputs))
        return {"logits": logits_BKA, "probabilities": logits_BKA.softmax(dim=-1)}

    def forward(self, window: ImuWindow) -> Tensor:
        """Compute probabilities [B, K, A] of A activities at K horizons.

        Windows are a tensor or an array [B, L, C], or named channels (see `window_from`). Raises `ValueError` if the
        shape is not the [B, L, C] of `spec`.
        """
        return self.outputs(self.standardized(window))["probabilities"]

    def predict_recording(
        self,
        recording: Table | Tensor | npt.NDArray[np.generic],
        *,
        rate: float | None = None,
        time: str | None = None,
        stride: float = 0.5,
        batch: int = 64,
    ) -> Predictions:
        """Predict the activities of a recording window by window: times, labels and probabilities.

        The recording is resampled to the classifier's rate without aliasing. Windows are cut as in evaluation, the
        first at the first sample.

        - `recording`: named columns [n], e.g. a pandas data frame, or an array or tensor [n, C] (`spec.channels`).
        - `rate`: sampling rate of the recording [Hz].
        - `time`: name of the column with the sample times [s], instead of `rate`, if the rate drifts or jitters.
        - `stride`: time from one window to the next [s].
        - `batch`: number of windows that are classified at a time.

        Raises `ValueError` if channels are missing, a value is not finite, a sensor seems to be in another unit (g or
        deg/s), there is a gap, the recording is too short or its rate too low; `TypeError` if it is no recording.
        """
        start_N, probability_NKA = self.over_windows(recording, self, rate=rate, time=time, stride=stride, batch=batch)
        return predictions_of(start_N + self.spec.window, probability_NKA.float().numpy(), self.labels)

    def stream(
        self, *, rate: float, stride: float = 0.5, start: float = 0.0, check_units: bool = True
    ) -> PredictionStream:
        """Return a stream that takes samples as they come, and returns predictions every `stride` seconds.

        - `rate`: sampling rate of the samples [Hz], which must be that of `spec`: a stream does not resample.
        - `stride`: time from one window to the next [s], a whole number of samples.
        - `start`: time of the first sample [s].
        - `check_units`: whether the first window is checked for other units (g or deg/s).

        Raises `ValueError` if the rate is another one, or `stride` is no whole number of samples.
        """
        return PredictionStream(
            self.spec,
            self.labels,
            self._classify,
            horizons=len(self.horizons),
            rate=rate,
            stride=stride,
            start=start,
            check_units=check_units,
        )

    def _classify(self, imu_BLC: Samples) -> Probabilities:
        with torch.inference_mode():
            probability_BKA: Tensor = self(torch.from_numpy(imu_BLC).to(self._like.device))
        return probability_BKA.float().cpu().numpy()


def build_classifier(description: ClassifierDescription) -> ExportedClassifier:
    """Build the described classifier with new weights."""
    encoder = description.encoder.build(description.imu, description.embed_dim)
    features = description.encoder.feature_dim(description.embed_dim)
    head = description.head.build(features, len(description.horizons), len(description.labels))
    return ExportedClassifier(description, encoder, head)
