"""`config.json` of an exported activity classifier: architecture, input, labels, horizons and origin."""

from __future__ import annotations

import math
from typing import Self

from pydantic import PositiveInt, model_validator

from revalexo_clip.core.component import Component
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.export.description import FolderDescription, as_metadata, wrong_imu
from revalexo_clip.models.classifier import Head
from revalexo_clip.models.encoders import ImuEncoder


class ClassifierDescription(FolderDescription):
    """`config.json` of an exported activity classifier of IMU windows."""

    noun = "classifier"

    encoder: ImuEncoder
    """Architecture of the encoder."""
    embed_dim: PositiveInt
    """D, the size that the encoder is built for."""
    head: Head
    """Architecture of the head."""
    imu: ImuSpec
    """Input: ordered channels, units, rate [Hz], window [s], standardisation."""
    labels: tuple[str, ...]
    """Activities, in the order of the outputs."""
    trained_labels: tuple[str, ...]
    """Activities that occur in the training windows. The others are never learned."""
    horizons: tuple[float, ...]
    """Times after the end of the window at which activities are predicted [s]."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs: `imu`."""
        return ("imu",)

    @property
    def components(self) -> tuple[Component, ...]:
        """See `FolderDescription.components`."""
        return (self.encoder, self.head)

    @property
    def imu_input(self) -> ImuSpec | None:
        """See `FolderDescription.imu_input`."""
        return self.imu

    def onnx_metadata(self) -> dict[str, str]:
        """See `FolderDescription.onnx_metadata`."""
        return as_metadata(self.origin, self.imu, {"labels": self.labels, "horizons": self.horizons})

    @model_validator(mode="after")
    def _check(self) -> Self:
        wrong = [*wrong_imu(self.imu)]
        if not self.labels or len(set(self.labels)) < len(self.labels):
            wrong.append("labels: there must be at least one, and none twice")
        if unknown := [name for name in self.trained_labels if name not in self.labels]:
            wrong.append(f"trained_labels: {', '.join(unknown)}: not in labels")
        if not self.horizons or not all(0 <= one < math.inf for one in self.horizons):
            wrong.append("horizons: there must be at least one, and all must be 0 s or more")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self
