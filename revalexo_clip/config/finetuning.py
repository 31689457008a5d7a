"""Finetuning: the experiment that turns a pretrained encoder into an activity classifier of activities.

Defaults are those of the RevalExo benchmark's downstream training, as far as they do not depend on the data.
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
from revalexo_clip.config.base import Experiment, TrainerConfig, check_order
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
"""The kinds of component that pretraining does not have."""


class Freezing(Config):
    """For how long the encoder keeps its weights, and stays in eval mode."""

    epochs: NonNegativeInt | Literal["all"] = 0
    """Epochs in which none of it is trained; `all` for the whole run."""
    every: PositiveInt | None = None
    """After them, set free one more block, from its output on, whenever so many epochs have passed (Howard & Ruder,
    2018, arXiv:1801.06146); null for all blocks at once."""

    def num_frozen_blocks(self, epoch: int, blocks: int) -> int:
        """How many of an encoder's blocks, from its input on, are not trained in an epoch, counted from 0."""
        if self.epochs == "all" or epoch < self.epochs:
            return blocks
        if self.every is None:
            return 0
        return max(blocks - 1 - (epoch - self.epochs) // self.every, 0)


class FinetuneExperiment(Experiment):
    """Training of an activity classifier: an encoder, pretrained or new, and heads for the activity at each horizon."""

    data: Recordings
    """Labelled recordings, split by subject and cut into windows."""
    modality: Literal["imu", "video", "both"] = "imu"
    """What it recognises activities from."""
    encoder: Path | None
    """Where the encoder comes from: the folder of a pretraining run, a checkpoint, or an exported encoder. Its
    architecture, input and standardisation come with it. null for a new encoder: `imu`, `video`."""
    from_scratch: bool = False
    """Take from `encoder` what it is, and not what it has learned: the same encoder with new weights."""
    imu: ImuEncoder | None = None
    """A new encoder of the IMU window."""
    video: VideoEncoder | None = None
    """A new encoder of the video window; published weights are loaded as in pretraining."""
    embed_dim: PositiveInt = 256
    """D, features of a new encoder."""
    standardize: bool = False
    """Let a new IMU encoder bring every channel to mean 0 and deviation 1, as measured on the training subjects."""
    freezing: Freezing = Freezing()
    """For how long the encoder is not trained."""
    head: Head = LinearHeads()
    """From features to activities."""
    fusion: Fusion = "logits"
    """Of both modalities: `logits` averages those of a head for each; `features` puts one head on both, side by side
    through layer norm."""
    imu_augment: tuple[ImuAugmentation, ...] = (GaussianNoise(std=0.01, p=0.5),)
    """Augmentations of the IMU window, in order. In training only, as all augmentation."""
    video_augment: tuple[VideoAugmentation, ...] = ()
    """Augmentations of the video window, in order."""
    joint_augment: tuple[JointAugmentation, ...] = ()
    """Augmentations of both together, in order, before those of either one."""
    loss: ClassificationLoss = CrossEntropy()
    """Objective."""
    optim: Optimizer = Adam()
    """Optimizer and schedule."""
    batch_size: PositiveInt = 128
    """Windows of an optimizer step, over all devices together."""
    batches: BatchComposition = BalancedBatches()
    """Which windows meet in a batch, and how often they come."""
    micro_batch: PositiveInt | None = None
    """Windows that a device takes at a time, to bound memory; null for all at once."""
    label_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the training windows whose labels are used, the same of each activity and at least one; an epoch is as
    long as with all of them."""
    trainer: TrainerConfig = TrainerConfig(early_stopping=10)
    """Length, precision and devices."""
    folds: Folds | None = None
    """Train and test several times, each time on other subjects; null for once, on those that `data` names."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What it recognises activities from."""
        return ("imu", "video") if self.modality == "both" else (self.modality,)

    @property
    def pretraining(self) -> PretrainExperiment | None:
        """What each fold begins with, to take its encoder."""
        return None if self.folds is None else self.folds.pretrain

    def in_fold(self, fold: Fold, encoder: Path | None) -> Self:
        """The experiment of one fold, which begins with an encoder."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        data = self.data.split(fold.train, fold.val, fold.test)
        return type(self).model_validate(fields | {"data": data, "encoder": encoder, "folds": None})

    @model_validator(mode="after")
    def _know_the_encoder(self) -> Self:
        given = [name for name, encoder in (("imu", self.imu), ("video", self.video)) if encoder is not None]
        if self.encoder is None and self.pretraining is None:
            if missing := [name for name in self.modalities if name not in given]:
                raise ValueError(
                    f"{missing[0]}: without `encoder`, name the new encoder of each modality ({self.modality})"
                )
            if idle := [name for name in given if name not in self.modalities]:
                raise ValueError(f"{idle[0]}: an activity classifier of {self.modality} has no such encoder")
            if self.from_scratch:
                raise ValueError("from_scratch: without `encoder` every encoder is new")
        else:
            self._take_what_is_pretrained(given)
        return self

    def _take_what_is_pretrained(self, given: list[str]) -> None:
        """Raise `ValueError` where something is set that comes with a pretrained encoder."""
        field = "encoder" if self.encoder is not None else "folds.pretrain"
        source = self.encoder or field
        if self.pretraining is not None and (self.encoder is not None or self.from_scratch):
            other = "encoder" if self.encoder is not None else "from_scratch"
            raise ValueError(f"{other}: in each fold the encoder is that of folds.pretrain; set one of them, not both")
        if given:
            raise ValueError(
                f"{given[0]}: the encoder comes from {source}, with its architecture; set `{field}` or "
                f"`{given[0]}`, and the other one to null"
            )
        if self.standardize:
            raise ValueError(f"standardize: whether channels are standardised comes with the encoder, {source}")

    @model_validator(mode="after")
    def _augment_what_there_is(self) -> Self:
        idle = {"imu": ("video_augment", "joint_augment"), "video": ("imu_augment", "joint_augment"), "both": ()}
        for field in idle[self.modality]:
            default = type(self).model_fields[field].default
            if getattr(self, field) and getattr(self, field) != default:
                raise ValueError(f"{field}: an activity classifier of {self.modality} has nothing to augment so")
        check_order(self)
        return self

    def build_augmentation(self, imu_spec: ImuSpec, video_spec: VideoSpec | None) -> Augments:
        """All augmentation, in order. Raises `ConfigError` for windows that one of them cannot work on."""
        if video_spec is None:
            return ImuAugmentations(self.imu_augment, imu_spec=imu_spec)
        return Augmentation(
            self.imu_augment, self.video_augment, self.joint_augment, imu_spec=imu_spec, video_spec=video_spec
        )
