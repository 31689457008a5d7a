"""Encode evaluation windows: embeddings for retrieval, and the features that probes compare."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.progress import OnProgress, Progress
from revalexo_clip.data import LabelledWindows
from revalexo_clip.data.subjects import alike
from revalexo_clip.evaluation.held_out import check_same_input
from revalexo_clip.evaluation.inference import Extract, FeatureModule, concatenate, predict_batches
from revalexo_clip.metrics.evaluated import SUPERVISED, EvaluatedWindows
from revalexo_clip.runs.checkpoint import Checkpoint
from revalexo_clip.training.loaders import evaluation_batch_size, evaluation_loader


def encode(
    checkpoint: Checkpoint,
    dataset: LabelledWindows,
    experiment: PretrainExperiment,
    on_progress: OnProgress,
    supervised: nn.Module | None = None,
) -> EvaluatedWindows:
    """Encode the windows of a dataset. Each window is read once.

    `supervised` maps IMU windows [B, L, C] to features of a supervised reference [B, F].
    """
    described = checkpoint.description
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(described.experiment.seed)  # the initial weights of the training
        untrained = described.experiment.build_model(described.imu_spec, described.video_spec)
    module = FeatureModule(checkpoint.build_model(), untrained, described.imu_spec, supervised)
    batch_size = evaluation_batch_size(experiment.batch_size, experiment.micro_batch)
    loader = evaluation_loader(dataset, batch_size, experiment.data.workers)
    extracts = predict_batches(module, loader, experiment.trainer, on_progress)
    found = concatenate(cast("list[Extract]", extracts))  # what its predict_step returns
    for modality, embedding_BD in (("IMU", found.imu_BD), ("video", found.video_BD)):
        if not embedding_BD.isfinite().all():
            raise DataError(f"{checkpoint.path}: its {modality} embeddings are not finite; training may have diverged")
    return EvaluatedWindows(
        imu_ND=found.imu_BD,
        video_ND=found.video_BD,
        features={
            "imu": found.imu_features_BD,
            "imu_untrained": found.untrained_features_BD,
            "handcrafted": found.handcrafted_BF,
            **({} if described.video_spec is None else {"video": found.video_features_BD}),
            **({} if supervised is None else {SUPERVISED: found.supervised_features_BF}),
        },
        label_NK=found.label_BK,
        transition_NK=found.transition_BK,
        clip_N=found.clip_B,
        start_N=found.start_B,
        recording_N=found.recording_B,
        time_N=found.time_B,
        clip_subjects=dataset.clip_subjects,
        clip_names=dataset.clip_names,
        activities=dataset.activities,
        horizons=dataset.horizons,
        moving_N=found.moving_B,
    )


def encode_training_subjects(
    checkpoint: Checkpoint,
    experiment: PretrainExperiment,
    windows: EvaluatedWindows,
    progress: Progress,
    supervised: nn.Module | None = None,
) -> EvaluatedWindows | None:
    """Encode windows of the training subjects, on which the probes of a single test subject are trained.

    Returns None if all training subjects are evaluated themselves. Raises `DataError` if they cannot be read.
    """
    (tested,) = windows.subjects
    others = tuple(name for name in checkpoint.description.subjects["train"] if not alike(name, tested))
    if not others:
        return None
    with progress("embedding training subjects") as on_progress:
        dataset = _windows_of(checkpoint, experiment, others)
        return encode(checkpoint, dataset, experiment, on_progress, supervised)


def _windows_of(checkpoint: Checkpoint, experiment: PretrainExperiment, subjects: tuple[str, ...]) -> LabelledWindows:
    """Index evaluation windows of the training subjects."""
    data = experiment.data.evaluating(subjects)
    try:
        dataset = experiment.model_copy(update={"data": data}).windows("test")
        check_same_input(checkpoint, dataset)
    except DataError as error:
        raise DataError(
            f"{error}\nWith a single test subject, the probe is trained on the training subjects. Pass --no-probe, or "
            "name more subjects: --set data.test_subjects=NAME,..."
        ) from error
    return dataset
