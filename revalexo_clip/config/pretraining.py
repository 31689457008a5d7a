"""."""

from __future__ import annotations

from typing import Self

from pydantic import PositiveInt, model_validator

from revalexo_clip.augment import Augmentation, ImuAugmentation, JointAugmentation, VideoAugmentation
from revalexo_clip.config.base import Experiment, TrainerConfig, check_order
from revalexo_clip.core.component import Component
from revalexo_clip.core.types import ImuSpec, VideoSpec
from revalexo_clip.data import BatchComposition, Dataset, Recordings, UniformBatches
from revalexo_clip.losses import Loss
from revalexo_clip.losses.info_nce import InfoNCE
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.models.encoders import ImuEncoder, VideoEncoder
from revalexo_clip.optim import AdamW, Optimizer

COMPONENT_KINDS: tuple[type[Component], ...] = (
    *(Recordings, ImuEncoder, VideoEncoder),
    *(ImuAugmentation, VideoAugmentation, JointAugmentation),
    *(Loss, Optimizer, BatchComposition),
)
"""The kinds of component that an experiment is composed of."""


class PretrainExperiment(Experiment):
    """Contrastive pretraining of an IMU encoder and a video encoder."""

    data: Dataset
    """Recordings, split by subject and cut into windows."""
    imu: ImuEncoder
    """Encoder of the IMU window."""
    video: VideoEncoder
    """Encoder of the video window."""
    standardize: bool = False
    """Let the model bring every IMU channel to mean 0 and deviation 1, as measured on the training subjects. Inputs
    stay in their units."""
    embed_dim: PositiveInt = 256
    """D, size of the features and of the shared space."""
    imu_augment: tuple[ImuAugmentation, ...] = ()
    """Augmentations of the IMU window, in order. In training only, as all augmentation."""
    video_augment: tuple[VideoAugmentation, ...] = ()
    """Augmentations of the video window, in order."""
    joint_augment: tuple[JointAugmentation, ...] = ()
    """Augmentations of both together, in order, before those of either one."""
    loss: Loss = InfoNCE()
    """Contrastive objective."""
    optim: Optimizer = AdamW()
    """Optimizer and schedule."""
    batch_size: PositiveInt = 64
    """Pairs contrasted with each other, over all devices together."""
    batches: BatchComposition = UniformBatches()
    """Which windows meet in a batch."""
    micro_batch: PositiveInt | None = None
    """Windows that a device encodes at a time, to bound memory; null for all at once."""
    trainer: TrainerConfig = TrainerConfig()
    """Length, precision and devices."""

    @model_validator(mode="after")
    def _contrast_something(self) -> Self:
        if self.batch_size < 2:
            raise ValueError("batch_size: a contrastive batch needs at least 2 pairs")
        return self

    @model_validator(mode="after")
    def _functions_come_first(self) -> Self:
        check_order(self)
        return self

    def build_augmentation(self, imu_spec: ImuSpec, video_spec: VideoSpec) -> Augmentation:
        """All augmentation, in order. Raises `ConfigError` for windows that one of them cannot work on."""
        return Augmentation(
            self.imu_augment, self.video_augment, self.joint_augment, imu_spec=imu_spec, video_spec=video_spec
        )

    def build_model(self, imu_spec: ImuSpec, video_spec: VideoSpec) -> DualEncoder:
        """Both towers with new weights, frozen where they are to be; the same on every process that seeds torch alike.

        Raises `ConfigError` where an encoder cannot be built or frozen so.
        """
        imu, video = self.imu.build(imu_spec, self.embed_dim), self.video.build(video_spec, self.embed_dim)
        model = DualEncoder(
            imu,
            video,
            embed_dim=self.embed_dim,
            imu_spec=imu_spec,
            video_spec=video_spec,
            blocks={"imu": self.imu.blocks(imu), "video": self.video.blocks(video)},
        )
        model.freeze([*self.imu.frozen_blocks(imu), *self.video.frozen_blocks(video)])
        return model
