"""Everything that a pretraining needs, built from its experiment: windows, model, Lightning module."""

from __future__ import annotations

from dataclasses import dataclass, replace

import lightning.pytorch as pl
from lightning.pytorch.accelerators import CPUAccelerator

from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.text import counted
from revalexo_clip.core.version import __version__
from revalexo_clip.data import GroupedBatches, LabelledWindows
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.pretraining.contrast import check_vectors
from revalexo_clip.pretraining.feature_cache import check_feature_cache
from revalexo_clip.pretraining.module import ContrastiveModule
from revalexo_clip.pretraining.text import build_text_branch, read_texts
from revalexo_clip.runs.checkpoint import PRETRAINING_KEY, PretrainingMetadata
from revalexo_clip.training.loaders import PairsDataModule
from revalexo_clip.training.summary import subjects_of
from revalexo_clip.training.trainer import (
    build_trainer,
    check_fused,
    check_sync_batchnorm,
    prepare_encoders,
    share_cores,
)


@dataclass(frozen=True)
class TrainingSetup:
    """Everything that a pretraining needs, built."""

    experiment: PretrainExperiment
    train: LabelledWindows
    val: LabelledWindows
    model: DualEncoder
    module: ContrastiveModule
    data: PairsDataModule
    description: PretrainingMetadata

    @property
    def frames(self) -> int:
        """Number of video frames of a window, 0 without video."""
        return 0 if self.train.video_spec is None else self.train.video_spec.frames


def build_setup(experiment: PretrainExperiment, *, resumed: bool = False) -> TrainingSetup:
    """Build a pretraining. If it is resumed, pretrained weights are not loaded: its checkpoint has weights.

    Raises `ConfigError` or `DataError` if the experiment cannot run.
    """
    trainer = build_trainer(experiment.trainer, [], loggers=[])  # raises if the devices do not exist
    check_sync_batchnorm(experiment, trainer.world_size)
    check_fused(experiment)
    if isinstance(trainer.accelerator, CPUAccelerator):
        share_cores(trainer.world_size // trainer.num_nodes, experiment.data.workers)
    train, val = _windows(experiment, trainer.world_size)
    augmentation = experiment.build_augmentation(train.imu_spec, train.video_spec)
    imu_spec = train.imu_spec
    if experiment.standardize:
        mean, std = train.imu_statistics()
        imu_spec = replace(imu_spec, mean=mean, std=std)
        augmentation = experiment.build_augmentation(imu_spec, train.video_spec)  # again: some silence to the mean
    texts = read_texts(experiment, train, val)
    data = PairsDataModule(
        train,
        val,
        augmentation,
        batches=experiment.batches,
        batch_size=experiment.batch_size,
        micro_batch=experiment.micro_batch,
        seed=experiment.seed,
        workers=experiment.data.workers,
        texts=None if texts is None else texts.train,
    )
    pl.seed_everything(experiment.seed, workers=True, verbose=False)
    model = experiment.build_model(imu_spec, train.video_spec)
    check_feature_cache(experiment, model, train)
    if experiment.video is not None and model.video is not None and not resumed:
        experiment.video.load_pretrained(model.video)
    encoders = [encoder for encoder in (model.imu, model.video) if encoder is not None]
    prepare_encoders(experiment.trainer, model, encoders)
    text = None if texts is None else build_text_branch(experiment, texts)
    loss = experiment.loss.build()
    if experiment.video is not None:
        check_vectors(loss, tokens=experiment.tokens is not None, frame_tokens=experiment.frame_tokens is not None)
    description = PretrainingMetadata(
        version=__version__,
        experiment=experiment.self_contained(),
        imu_spec=imu_spec,
        video_spec=train.video_spec,
        activities=train.activities,
        subjects={"train": subjects_of(train), "val": subjects_of(val)},
        excluded={"train": tuple(train.excluded), "val": tuple(val.excluded)},
        fingerprint={"train": train.fingerprint(), "val": val.fingerprint()},
    )
    module = ContrastiveModule(
        experiment,
        model,
        loss,
        augmentation,
        window=train.imu_spec.window,
        steps=data.steps_per_epoch * experiment.trainer.max_epochs,
        subjects=(train.recording_subjects, val.recording_subjects),
        described={PRETRAINING_KEY: description.model_dump_json()},
        clips=train.clip_names,
        text=text,
    )
    return TrainingSetup(experiment, train, val, model, module, data, description)


def _windows(experiment: PretrainExperiment, processes: int) -> tuple[LabelledWindows, LabelledWindows]:
    """Build the training and validation windows, and check that there are enough for all processes."""
    train, val = experiment.windows("train"), experiment.windows("val")
    if len(train) < experiment.batch_size and not isinstance(experiment.batches, GroupedBatches):  # says it itself
        clips = len(train.clip_names)
        raise ConfigError(
            f"batch_size: a batch of {experiment.batch_size} is larger than the training set, {len(train)} windows "
            f"of {counted(clips, 'clip')}; --set batch_size={len(train)} or --set data.windows_per_clip="
            f"{-(-experiment.batch_size // clips)} fits"
        )
    if experiment.batch_size < processes:  # unknown to the experiment if `devices` is auto
        raise ConfigError(f"batch_size: {experiment.batch_size} windows cannot be shared by {processes} devices")
    if len(val) < processes:
        raise ConfigError(
            f"data.val_subjects: {len(val)} validation windows cannot be shared by {processes} devices; lower "
            "trainer.devices or data.eval_stride"
        )
    if train.imu_spec != val.imu_spec:
        raise ConfigError("data: the training and validation recordings differ in their IMU channels")
    return train, val
