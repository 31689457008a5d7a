"""The experiment of finetuning, which trains an activity classifier on a pretrained or new encoder.

Defaults are those of the RevalExo benchmark's downstream training, if they do not depend on the data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from revalexo_clip.augment import (
    Augmentation,
    Augments,
    GaussianNoise,
    ImuAugmentation,
    ImuAugmentations,
    JointAugmentation,
    VideoAugmentation,
)
from revalexo_clip.config.base import Experiment, TrainerConfig, check_augmentations
from revalexo_clip.config.folds import Fold, Folds
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import Component, Config
from revalexo_clip.core.types import ImuSpec, Modality, VideoSpec
from revalexo_clip.data import BalancedBatches, BatchComposition, Recordings
from revalexo_clip.losses import ClassificationLoss, CrossEntropy
from revalexo_clip.models.classifier import Fusion, Head, LinearHeads
from revalexo_clip.models.encoders import ImuEncoder, VideoEncoder
from revalexo_clip.optim import Adam, Optimizer

COMPONENT_KINDS: tuple[type[Component], ...] = (Head, ClassificationLoss, Folds)
"""Kinds of components that only finetuning has."""


class Freezing(Config):
    """How long the encoder is frozen: it keeps its weights and stays in eval mode."""

    epochs: NonNegativeInt | Literal["all"] = 0
    """Number of epochs in which the whole encoder is frozen; `all` for the whole run."""
    every: PositiveInt | None = None
    """Number of epochs after which one more block is unfrozen, starting at the output (Howard & Ruder, 2018,
    arXiv:1801.06146); null to unfreeze all blocks at once."""

    def num_frozen_blocks(self, epoch: int, blocks: int) -> int:
        """Return how many of an encoder's blocks, counted from its input, are frozen in an epoch, counted from 0."""
        if self.epochs == "all" or epoch < self.epochs:
            return blocks
        if self.every is None:
            return 0
        return max(blocks - 1 - (epoch - self.epochs) // self.every, 0)


class FinetuneExperiment(Experiment):
    """Training of an activity classifier: a pretrained or new encoder, and heads for the activity at each horizon."""

    data: Recordings
    """Labelled recordings, split by subject and cut into windows."""
    modality: Literal["imu", "video", "both"] = "imu"
    """Input of the classifier."""
    encoder: Path | None
    """Pretrained encoder: the folder of a pretraining run, a checkpoint, or an exported encoder. It brings its
    architecture, input and standardisation. null for a new encoder: `imu`, `video`."""
    from_scratch: bool = False
    """Use the architecture of `encoder` with new weights."""
    imu: ImuEncoder | None = None
    """New encoder of the IMU window."""
    video: VideoEncoder | None = None
    """New encoder of the video window; published weights are loaded as in pretraining."""
    embed_dim: PositiveInt = 256
    """Number of features D of a new encoder."""
    standardize: bool = False
    """Let a new IMU encoder scale every channel to mean 0 and standard deviation 1, by the training subjects."""
    freezing: Freezing = Freezing()
    """How long the encoder is frozen."""
    head: Head = LinearHeads()
    """Classification heads."""
    fusion: Fusion = "logits"
    """How both modalities are combined. `logits`: average the logits of one head per modality. `features`: one head on
    the concatenated features after layer norm."""
    imu_augment: tuple[ImuAugmentation, ...] = (GaussianNoise(std=0.01, p=0.5),)
    """Augmentations of the IMU window, in order. All augmentations are applied in training only."""
    video_augment: tuple[VideoAugmentation, ...] = ()
    """Augmentations of the video window, in order."""
    joint_augment: tuple[JointAugmentation, ...] = ()
    """Augmentations of both windows together, in order; they come before the others."""
    loss: ClassificationLoss = CrossEntropy()
    """Loss function."""
    optim: Optimizer = Adam()
    """Optimizer and learning rate schedule."""
    batch_size: PositiveInt = 128
    """Windows per optimizer step, over all devices."""
    batches: BatchComposition = BalancedBatches()
    """How batches are composed of windows."""
    micro_batch: PositiveInt | None = None
    """Windows per device in one forward pass, to limit memory; null for all at once."""
    label_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training windows whose labels are used, of each activity, at least one window. The number of steps
    per epoch does not depend on it."""
    trainer: TrainerConfig = TrainerConfig(early_stopping=10)
    """Length, precision and devices of the training."""
    folds: Folds | None = None
    """Cross-validation: train and test several times, each time with other subjects; null for a single training with
    the subjects that `data` names."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Modalities of the input."""
        return ("imu", "video") if self.modality == "both" else (self.modality,)

    @property
    def pretraining(self) -> PretrainExperiment | None:
        """Pretraining that comes first in each fold, if there is one."""
        return None if self.folds is None else self.folds.pretrain

    def in_fold(self, fold: Fold, encoder: Path | None) -> Self:
        """Return the experiment of one fold, with an initial encoder."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        data = self.data.split(fold.train, fold.val, fold.test)
        return type(self).model_validate(fields | {"data": data, "encoder": encoder, "folds": None})

    @model_validator(mode="after")
    def _check_encoder(self) -> Self:
        given = [name for name, encoder in (("imu", self.imu), ("video", self.video)) if encoder is not None]
        if self.encoder is None and self.pretraining is None:
            if missing := [name for name in self.modalities if name not in given]:
                raise ValueError(
                    f"{missing[0]}: without `encoder`, a new encoder is needed for each modality ({self.modality})"
                )
            if idle := [name for name in given if name not in self.modalities]:
                raise ValueError(f"{idle[0]}: not used with modality={self.modality}; set it to null")
            if self.from_scratch:
                raise ValueError("from_scratch: without `encoder` every encoder is new")
        else:
            self._check_pretrained(given)
        return self

    def _check_pretrained(self, given: list[str]) -> None:
        """Raise `ValueError` if a field is set that comes with a pretrained encoder."""
        field = "encoder" if self.encoder is not None else "folds.pretrain"
        source = self.encoder or field
        if self.pretraining is not None and (self.encoder is not None or self.from_scratch):
            other = "encoder" if self.encoder is not None else "from_scratch"
            raise ValueError(f"{other}: each fold takes the encoder of folds.pretrain; set only one of the two")
        if given:
            raise ValueError(
                f"{given[0]}: the encoder comes from {source}, with its architecture; set `{field}` or "
                f"`{given[0]}` to null"
            )
        if self.standardize:
            raise ValueError(f"standardize: standardisation comes with the encoder, {source}; set it to false")

    @model_validator(mode="after")
    def _check_augmentations(self) -> Self:
        idle = {"imu": ("video_augment", "joint_augment"), "video": ("imu_augment", "joint_augment"), "both": ()}
        for field in idle[self.modality]:
            default = type(self).model_fields[field].default
            if getattr(self, field) and getattr(self, field) != default:
                raise ValueError(f"{field}: not used with modality={self.modality}; remove it")
        check_augmentations(self)
        return self

    def build_augmentation(self, imu_spec: ImuSpec, video_spec: VideoSpec | None) -> Augments:
        """Build all augmentations, in order. Raises `ConfigError` if one of them does not support the windows."""
        if video_spec is None:
            return ImuAugmentations(self.imu_augment, imu_spec=imu_spec)
        return Augmentation(
            self.imu_augment, self.video_augment, self.joint_augment, imu_spec=imu_spec, video_spec=video_spec
        )
