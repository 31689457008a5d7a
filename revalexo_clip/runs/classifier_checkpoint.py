"""Checkpoints of activity classifiers. They are self-contained: the pretrained encoder's file is not needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.core.files import UNPICKLING_ERRORS
from revalexo_clip.core.types import ImuSpec, Split, VideoSpec
from revalexo_clip.models.classifier import ActivityClassifier, Architecture
from revalexo_clip.models.encoders import ImuEncoder, VideoEncoder
from revalexo_clip.runs.checkpoint import CLASSIFIER_KEY, CheckpointMetadata, LoadedCheckpoint, read_checkpoint


class ClassifierMetadata(CheckpointMetadata):
    """Metadata of an activity classifier's checkpoint."""

    experiment: FinetuneExperiment
    """The resolved experiment."""
    embed_dim: int
    """D, the embedding size that its encoders were built for."""
    imu: ImuEncoder | None
    """Encoder of the IMU window, pretrained or new."""
    imu_spec: ImuSpec | None
    """Input of that encoder."""
    video: VideoEncoder | None
    """Encoder of the video window."""
    video_spec: VideoSpec | None
    """Input of that encoder."""
    horizons: tuple[float, ...]
    """Times after the end of the window at which activities are predicted [s]."""
    trained_activities: tuple[str, ...]
    """Activities that occur in the training windows."""
    pretrained_on: dict[Split, tuple[str, ...]] | None
    """Training and validation subjects of the pretrained encoder and of a teacher; null if unknown."""

    @property
    def architecture(self) -> Architecture:
        """Its encoders."""
        return Architecture(self.embed_dim, self.imu, self.imu_spec, self.video, self.video_spec)

    @property
    def has_seen(self) -> dict[Split, tuple[str, ...]] | None:
        """Subjects used in its training or pretraining; None if unknown."""
        before = self.pretrained_on
        if before is None:
            return None
        return {split: tuple(dict.fromkeys([*own, *before.get(split, ())])) for split, own in self.subjects.items()}

    @property
    def features(self) -> int:
        """Number of features of all encoders together, the input of the heads."""
        return sum(self.architecture.feature_dims)

    def build_model(self) -> ActivityClassifier:
        """Build the activity classifier with new weights."""
        experiment = self.experiment
        return self.architecture.build(
            experiment.head, experiment.fusion, horizons=len(self.horizons), activities=len(self.activities)
        )


@dataclass(frozen=True)
class ClassifierCheckpoint(LoadedCheckpoint[ClassifierMetadata]):
    """A checkpoint of an activity classifier."""

    def build_model(self) -> ActivityClassifier:
        """Build the activity classifier with the checkpoint's weights, in eval mode."""
        model = self.description.build_model()
        self.load_into(model)
        return model.eval()


def is_classifier(path: Path) -> bool:
    """Return whether a file is a classifier checkpoint, without reading its weights or verifying it."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, *UNPICKLING_ERRORS):  # `load_classifier_checkpoint` reports what is wrong
        return False
    return isinstance(content, dict) and CLASSIFIER_KEY in content


def load_classifier_checkpoint(path: Path, experiment_file: Path | None = None) -> ClassifierCheckpoint:
    """Read a classifier checkpoint. Raises `DataError` or `ConfigError`, which name the file."""
    saved = read_checkpoint(path, CLASSIFIER_KEY, ClassifierMetadata, experiment_file)
    return ClassifierCheckpoint(**vars(saved))
