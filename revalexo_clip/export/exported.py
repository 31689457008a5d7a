"""What exported encoders and exported classifiers have in common: outputs by name, and the input of IMU windows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from revalexo_clip.core.types import ImuSpec, Split
from revalexo_clip.data.windows import Floats
from revalexo_clip.export.description import FolderDescription
from revalexo_clip.export.sliding_windows import ImuWindow, Table, finite, slide, stacked
from revalexo_clip.models.dual_encoder import Standardization


class Exported(nn.Module, ABC):
    """A module that is written to a folder, and loaded from it."""

    description: FolderDescription

    @property
    def subjects(self) -> Mapping[Split, tuple[str, ...]] | None:
        """Subjects used for training (`train`) and model selection (`val`); None if they are unknown.

        They must not be test subjects of any task.
        """
        return self.description.origin.subjects

    @abstractmethod
    def inputs_from(self, **windows: Tensor) -> tuple[Tensor, ...]:
        """Check windows, named as in `description.inputs`, and normalise them: the inputs of `outputs`."""

    @abstractmethod
    def outputs(self, *inputs: Tensor) -> Mapping[str, Tensor]:
        """Compute what an ONNX file returns, by name."""


class ImuInput(nn.Module):
    """Input of IMU windows in the units and channel order of a `spec`, and of recordings at any rate."""

    spec: ImuSpec
    samples: Standardization

    over_recordings: ClassVar[str] = "embed_recording"
    """Name of the method that takes a recording, for messages."""

    def standardized(self, window: ImuWindow) -> Tensor:
        """Return windows [B, L, C] as the encoder's module takes them. Raises `ValueError` if the shape is wrong."""
        imu_BLC = window if isinstance(window, Tensor) else self.window_from(window)
        expected = (self.spec.samples, len(self.spec.channels))
        if imu_BLC.ndim != 3 or tuple(imu_BLC.shape[1:]) != expected:
            raise ValueError(
                f"IMU windows must be [B, {expected[0]}, {expected[1]}] ({self.spec.window:g} s at "
                f"{self.spec.rate:g} Hz, channels in the order of spec.channels), not {list(imu_BLC.shape)}; "
                f"{self.over_recordings} cuts a recording into such windows"
            )
        standardized_BLC: Tensor = self.samples(imu_BLC.to(self._like.dtype))
        return standardized_BLC

    def window_from(self, window: npt.NDArray[np.generic] | Table) -> Tensor:
        """Convert an array [B, L, C], or named channels [L] or [B, L] in any order, to a tensor [B, L, C].

        Named channels may be the columns of a pandas data frame; other columns are ignored. Raises `ValueError`, which
        names the channels that are missing, of another length, or not finite.
        """
        channels = self.spec.channels
        if isinstance(window, np.ndarray):
            imu_BLC = finite(window, channels) if window.ndim and window.shape[-1] == len(channels) else window
        elif hasattr(window, "keys"):
            imu_LC = stacked(window, channels)
            imu_BLC = imu_LC[None] if imu_LC.ndim == 2 else imu_LC
        else:
            raise TypeError(f"IMU windows must be a tensor or array [B, L, C], or named channels, not {type(window)}")
        return torch.from_numpy(imu_BLC).to(self._like.device)

    def over_windows(
        self,
        recording: Table | Tensor | npt.NDArray[np.generic],
        compute: Callable[[Tensor], Tensor],
        *,
        rate: float | None,
        time: str | None,
        stride: float,
        batch: int,
    ) -> tuple[Floats, Tensor]:
        """Compute something of the sliding windows of a recording, `batch` windows at a time.

        Returns the starts [N] of the windows in the recording's time [s], and the results [N, ...] on the CPU. Raises
        what `slide` raises.
        """
        windows = slide(recording, self.spec, rate=rate, time=time, stride=stride)
        with torch.no_grad():
            found = [compute(torch.from_numpy(imu_BLC).to(self._like.device)) for imu_BLC in windows.batches(batch)]
        return windows.start_N, torch.cat(found).cpu()

    @property
    def _like(self) -> Tensor:
        """Tensor with the data type and device of the weights."""
        return next(self.parameters())
