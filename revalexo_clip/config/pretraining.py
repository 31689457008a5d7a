"""The experiment of contrastive pretraining."""

from __future__ import annotations

from typing import Self

from pydantic import PositiveInt, model_validator

from revalexo_clip.augment import Augmentation, HorizontalFlip, ImuAugmentation, JointAugmentation, VideoAugmentation
from revalexo_clip.config.base import Experiment, TrainerConfig, check_augmentations
from revalexo_clip.core.component import Component
from revalexo_clip.core.types import ImuSpec, VideoSpec
from revalexo_clip.data import BatchComposition, Dataset, Recordings, UniformBatches
from revalexo_clip.losses import Loss
from revalexo_clip.losses.base import Vector
from revalexo_clip.losses.info_nce import InfoNCE
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.models.encoders import ImuEncoder, VideoEncoder
from revalexo_clip.models.tokens import Tokens
from revalexo_clip.optim import AdamW, Optimizer

COMPONENT_KINDS: tuple[type[Component], ...] = (
    *(Recordings, ImuEncoder, VideoEncoder),
    *(ImuAugmentation, VideoAugmentation, JointAugmentation),
    *(Loss, Optimizer, BatchComposition),
)
"""Kinds of components of an experiment."""


def reads_of(loss: Loss) -> frozenset[Vector]:
    """Return the kinds of vectors that a loss compares, in all its terms."""
    return frozenset(kind for _, term in loss.build().terms().values() for kind in term.reads)


class PretrainExperiment(Experiment):
    """Contrastive pretraining of an IMU encoder and a video encoder."""

    data: Dataset
    """Recordings, split by subject and cut into windows."""
    imu: ImuEncoder
    """Encoder of the IMU window."""
    video: VideoEncoder
    """Encoder of the video window."""
    standardize: bool = False
    """Let the model scale every IMU channel to mean 0 and standard deviation 1, by the training subjects. Inputs stay
    in their units."""
    embed_dim: PositiveInt = 256
    """Dimension D of the shared space, and of the features of most encoders."""
    tokens: Tokens | None = None
    """Time-aligned tokens, which retrieval compares instead of embeddings of the whole window; null for none. Both
    encoders must keep time."""
    imu_augment: tuple[ImuAugmentation, ...] = ()
    """Augmentations of the IMU window, in order. All augmentations are applied in training only."""
    video_augment: tuple[VideoAugmentation, ...] = ()
    """Augmentations of the video window, in order."""
    joint_augment: tuple[JointAugmentation, ...] = ()
    """Augmentations of both windows together, in order; they come before the others."""
    loss: Loss = InfoNCE()
    """Contrastive loss function."""
    optim: Optimizer = AdamW()
    """Optimizer and learning rate schedule."""
    batch_size: PositiveInt = 64
    """Pairs that are contrasted with each other, over all devices."""
    batches: BatchComposition = UniformBatches()
    """How batches are composed of windows."""
    micro_batch: PositiveInt | None = None
    """Windows that a device encodes at a time, to limit memory; null for all at once."""
    trainer: TrainerConfig = TrainerConfig()
    """Length, precision and devices of the training."""

    @model_validator(mode="after")
    def _check_batch_size(self) -> Self:
        if self.batch_size < 2:
            raise ValueError("batch_size: a contrastive batch needs at least 2 pairs")
        return self

    @model_validator(mode="after")
    def _check_augmentations(self) -> Self:
        check_augmentations(self)
        retiming = [type(one).__name__ for one in self.imu_augment if one.retimes]
        flips = [type(one).__name__ for one in self.video_augment if isinstance(one, HorizontalFlip)]
        if not (retiming or flips) or reads_of(self.loss).isdisjoint({"imu_tokens", "video_tokens"}):
            return self
        if retiming:
            raise ValueError(
                f"imu_augment: {retiming[0]} moves IMU samples in time and not the video, and the loss compares both "
                f"moment by moment; remove {retiming[0]}, or the term on tokens"
            )
        raise ValueError(
            f"video_augment: {flips[0]} mirrors the motion that the video shows and not that of the body, and the loss "
            "compares both moment by moment; use Mirror in joint_augment"
        )

    def build_augmentation(self, imu_spec: ImuSpec, video_spec: VideoSpec) -> Augmentation:
        """Build all augmentations, in order. Raises `ConfigError` if one of them does not support the windows."""
        return Augmentation(
            self.imu_augment,
            self.video_augment,
            self.joint_augment,
            imu_spec=imu_spec,
            video_spec=video_spec,
            second_view="imu_second" in reads_of(self.loss),
        )

    def build_model(self, imu_spec: ImuSpec, video_spec: VideoSpec) -> DualEncoder:
        """Build both towers with new weights, and freeze the blocks that the experiment freezes.

        The weights depend on torch's seed. Raises `ConfigError` if an encoder cannot be built or frozen as configured,
        or gives no features of moments for `tokens`.
        """
        imu, video = self.imu.build(imu_spec, self.embed_dim), self.video.build(video_spec, self.embed_dim)
        model = DualEncoder(
            imu,
            video,
            embed_dim=self.embed_dim,
            imu_spec=imu_spec,
            video_spec=video_spec,
            blocks={"imu": self.imu.blocks(imu), "video": self.video.blocks(video)},
            feature_dims={
                "imu": self.imu.feature_dim(self.embed_dim),
                "video": self.video.feature_dim(self.embed_dim),
            },
            tokens=self.tokens,
        )
        model.freeze([*self.imu.frozen_blocks(imu), *self.video.frozen_blocks(video)])
        return model
