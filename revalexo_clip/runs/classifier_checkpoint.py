"""Checkpoints of activity classifiers: they need neither the encoder that they began with nor anything else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.core.files import UNPICKLING_ERRORS
from revalexo_clip.core.types import ImuSpec, Split, VideoSpec
from revalexo_clip.models.classifier import ActivityClassifier, Architecture
from revalexo_clip.models.encoders import ImuEncoder, VideoEncoder
from revalexo_clip.runs.checkpoint import RECOGNISER_KEY, CheckpointMetadata, Saved, read_checkpoint


class ClassifierMetadata(CheckpointMetadata):
    """What an activity classifier's checkpoint says about itself."""

    experiment: FinetuneExperiment
    """The resolved experiment."""
    embed_dim: int
    """D, features of each encoder."""
    imu: ImuEncoder | None
    """Its encoder of the IMU window, wherever it came from."""
    imu_spec: ImuSpec | None
    """Input of that encoder."""
    video: VideoEncoder | None
    """Its encoder of the video window."""
    video_spec: VideoSpec | None
    """Input of that encoder."""
    horizons: tuple[float, ...]
    """How long after a window's end its activities are [s]."""
    trained_activities: tuple[str, ...]
    """Activities that training windows had."""
    pretrained_on: dict[Split, tuple[str, ...]] | None
    """Subjects that the encoder had been trained and selected on before, and those of a teacher; null where that is not
    known."""

    @property
    def architecture(self) -> Architecture:
        """Its encoders."""
        return Architecture(self.embed_dim, self.imu, self.imu_spec, self.video, self.video_spec)

    @property
    def has_seen(self) -> dict[Split, tuple[str, ...]] | None:
        """Subjects that had a part in its training, from the pretraining on; None where that is not known."""
        before = self.pretrained_on
        if before is None:
            return None
        return {split: tuple(dict.fromkeys([*own, *before.get(split, ())])) for split, own in self.subjects.items()}

    @property
    def features(self) -> int:
        """How many features its heads are given, of all encoders together."""
        return self.embed_dim * len(self.experiment.modalities)

    def build_model(self) -> ActivityClassifier:
        """The activity classifier with new weights."""
        experiment = self.experiment
        return self.architecture.build(
            experiment.head, experiment.fusion, horizons=len(self.horizons), activities=len(self.activities)
        )


@dataclass(frozen=True)
class ClassifierCheckpoint(Saved[ClassifierMetadata]):
    """A checkpoint of an activity classifier."""

    def build_model(self) -> ActivityClassifier:
        """The activity classifier with the checkpoint's weights, in eval mode."""
        model = self.description.build_model()
        self.load_into(model)
        return model.eval()


def is_classifier(path: Path) -> bool:
    """Whether a file is a checkpoint of finetuning, as far as can be told without reading its weights."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, *UNPICKLING_ERRORS):  # what is wrong with it, its reader will say
        return False
    return isinstance(content, dict) and RECOGNISER_KEY in content


def load_classifier_checkpoint(path: Path, experiment_file: Path | None = None) -> ClassifierCheckpoint:
    """Read a checkpoint file of finetuning. Raises `DataError` or `ConfigError`, naming the file."""
    saved = read_checkpoint(path, RECOGNISER_KEY, ClassifierMetadata, experiment_file)
    return ClassifierCheckpoint(**vars(saved))
