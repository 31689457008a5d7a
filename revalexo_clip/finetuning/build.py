"""Build the training setup of finetuning from its experiment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.accelerators import CPUAccelerator

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import UNLABELLED, Split
from revalexo_clip.core.version import __version__
from revalexo_clip.data import LabelledWindows, WindowDataset
from revalexo_clip.data.windows import Ints
from revalexo_clip.evaluation.classifier import Subjects, refuse_seen, windows_of
from revalexo_clip.finetuning.initial_encoder import read_pretrained
from revalexo_clip.finetuning.module import ClassifierModule
from revalexo_clip.models.classifier import ActivityClassifier, Architecture
from revalexo_clip.runs.checkpoint import CLASSIFIER_KEY
from revalexo_clip.runs.classifier_checkpoint import (
    ClassifierCheckpoint,
    ClassifierMetadata,
    load_classifier_checkpoint,
)
from revalexo_clip.runs.folder import find_checkpoint
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
class FinetuneSetup:
    """Everything that a finetuning run needs."""

    experiment: FinetuneExperiment
    train: LabelledWindows
    val: LabelledWindows
    test: LabelledWindows | None
    """None if the experiment names no test subjects."""
    model: ActivityClassifier
    module: ClassifierModule
    data: PairsDataModule
    description: ClassifierMetadata

    @property
    def frames(self) -> int:
        """Video frames of a window, 0 without video."""
        return self.train.video_spec.frames if isinstance(self.train, WindowDataset) else 0


def build_finetune_setup(
    experiment: FinetuneExperiment, *, allow_seen_subjects: bool = False, resumed: bool = False
) -> FinetuneSetup:
    """Build the windows, the model and the Lightning module of an experiment.

    If the run is `resumed`, no pretrained weights are loaded, except those of a teacher. Raises `ConfigError` or
    `DataError` if the experiment cannot run, or if test subjects were used in training the encoder or the teacher.
    """
    trainer = build_trainer(experiment.trainer, [], loggers=[])  # raises if there are no such devices
    check_sync_batchnorm(experiment, trainer.world_size)
    check_fused(experiment)
    if isinstance(trainer.accelerator, CPUAccelerator):
        share_cores(trainer.world_size // trainer.num_nodes, experiment.data.workers)
    teacher = read_teacher(experiment)
    with_video = reads_video(experiment, teacher)
    train, val = (windows_of(experiment, split, with_video=with_video) for split in ("train", "val"))
    tested = experiment.data.subjects("test")
    test = windows_of(experiment, "test", with_video=experiment.modality != "imu") if tested else None
    _check_windows(experiment, train, val, test, trainer.world_size)
    pretrained = read_pretrained(experiment, train)
    sources = {str(pretrained.source): pretrained.subjects}
    if teacher is not None:
        sources[str(teacher.path)] = teacher.description.has_seen
    if test is not None and not allow_seen_subjects:
        for source, subjects in sources.items():
            refuse_seen(source, subjects, test)
    description = _describe(experiment, pretrained.architecture, _merge_subjects(sources.values()), train, val)
    pl.seed_everything(experiment.seed, workers=True, verbose=False)
    model = description.build_model()
    if not resumed:
        pretrained.load_into(model)
        if experiment.video is not None and model.video is not None:
            experiment.video.load_pretrained(model.video)
    if experiment.freezing.epochs == "all":
        model.freeze(block for blocks in model.towers().values() for block in blocks)
    encoders = [encoder for encoder in (model.imu, model.video) if encoder is not None]
    prepare_encoders(experiment.trainer, model, encoders)
    if teacher is not None:
        _check_teacher(teacher.description, description, teacher.path)
    data = PairsDataModule(
        train,
        val,
        experiment.build_augmentation(
            pretrained.architecture.imu_spec or train.imu_spec,
            train.video_spec if isinstance(train, WindowDataset) else None,
        ),
        batches=experiment.batches,
        batch_size=experiment.batch_size,
        micro_batch=experiment.micro_batch,
        seed=experiment.seed,
        workers=experiment.data.workers,
        rows=labelled_rows(train, experiment.label_fraction, experiment.seed),
    )
    module = ClassifierModule(
        experiment,
        model,
        experiment.loss.build(description.features, None if teacher is None else teacher.description.features),
        data.augmentation,
        steps=data.steps_per_epoch * experiment.trainer.max_epochs,
        described={CLASSIFIER_KEY: description.model_dump_json()},
        clips=train.clip_names,
        teacher=None if teacher is None else teacher.build_model(),
    )
    return FinetuneSetup(experiment, train, val, test, model, module, data, description)


def labelled_rows(train: LabelledWindows, fraction: float, seed: int) -> Ints | None:
    """Return the indices [M] of the training windows whose labels are used; None for all of them.

    `fraction` is the share of each activity, at least one window. The activity of a window is that at the first horizon
    in the first epoch. With the same seed, a smaller share is part of a larger one.
    """
    if fraction == 1:
        return None
    label_N = train.labels(0)[:, 0]
    order_N = np.random.default_rng([seed, 1]).permutation(len(label_N))
    kept = []
    for activity in np.unique(label_N[label_N != UNLABELLED]):
        rows = order_N[label_N[order_N] == activity]
        kept.append(rows[: max(round(fraction * len(rows)), 1)])
    return np.sort(np.concatenate(kept))


def _check_windows(
    experiment: FinetuneExperiment,
    train: LabelledWindows,
    val: LabelledWindows,
    test: LabelledWindows | None,
    processes: int,
) -> None:
    """Raise `ConfigError` or `DataError` if there are too few windows to train, validate or test on."""
    if len(train) < experiment.batch_size:
        raise ConfigError(
            f"batch_size: a batch of {experiment.batch_size} is larger than the training set, {len(train)} windows of "
            f"{len(train.clip_names)} clips; lower batch_size, or take more windows from each clip"
        )
    if experiment.batch_size < processes:  # the experiment cannot check it if `devices` is "auto"
        raise ConfigError(f"batch_size: {experiment.batch_size} windows cannot be shared by {processes} devices")
    if len(val) < processes:
        raise ConfigError(f"data: {len(val)} validation windows cannot be shared by {processes} devices")
    for split, windows in (("training", train), ("validation", val)):
        if (windows.labels(0)[:, 0] == UNLABELLED).all():
            raise DataError(f"data: no {split} window has a label at the first of data.horizons")
    for split, others in (("validation", val), ("test", test)):
        if others is not None and others.imu_spec != train.imu_spec:
            raise ConfigError(f"data: the training and {split} recordings differ in their IMU channels")


def _merge_subjects(seen: Iterable[Subjects | None]) -> dict[Split, tuple[str, ...]] | None:
    """Merge the training subjects of several sources; None if those of one source are unknown."""
    found: dict[Split, tuple[str, ...]] = {}
    for subjects in seen:
        if subjects is None:
            return None
        for split, names in subjects.items():
            found[split] = tuple(dict.fromkeys([*found.get(split, ()), *names]))
    return found


def reads_video(experiment: FinetuneExperiment, teacher: ClassifierCheckpoint | None = None) -> bool:
    """Return whether the experiment, or its teacher, needs video. Raises what `read_teacher` raises."""
    teacher = teacher or read_teacher(experiment)
    teacher_modality = None if teacher is None else teacher.description.experiment.modality
    return experiment.modality != "imu" or teacher_modality not in {None, "imu"}


def read_teacher(experiment: FinetuneExperiment) -> ClassifierCheckpoint | None:
    """Read the checkpoint of the teacher, if there is one. Raises `ConfigError` or `DataError` if it cannot be read."""
    path = experiment.loss.teacher_checkpoint
    return None if path is None else load_classifier_checkpoint(find_checkpoint(path.expanduser()))


def _describe(
    experiment: FinetuneExperiment,
    architecture: Architecture,
    pretrained_on: dict[Split, tuple[str, ...]] | None,
    train: LabelledWindows,
    val: LabelledWindows,
) -> ClassifierMetadata:
    return ClassifierMetadata(
        version=__version__,
        experiment=experiment,
        activities=train.activities,
        subjects={"train": subjects_of(train), "val": subjects_of(val)},
        excluded={"train": tuple(train.excluded), "val": tuple(val.excluded)},
        fingerprint={"train": train.fingerprint(), "val": val.fingerprint()},
        embed_dim=architecture.embed_dim,
        imu=architecture.imu and architecture.imu.self_contained(),
        imu_spec=architecture.imu_spec,
        video=architecture.video and architecture.video.self_contained(),
        video_spec=architecture.video_spec,
        horizons=train.horizons,
        trained_activities=tuple(
            train.activities[label] for label in np.unique(train.labels(0)).tolist() if label != UNLABELLED
        ),
        pretrained_on=pretrained_on,
    )


def _check_teacher(teacher: ClassifierMetadata, student: ClassifierMetadata, path: Path) -> None:
    for what, taught, learned in (
        ("activities", teacher.activities, student.activities),
        ("horizons", teacher.horizons, student.horizons),
    ):
        if taught != learned:
            raise ConfigError(
                f"loss.teacher: the {what} of {path} ({_listed(taught)}) differ from those of the student "
                f"({_listed(learned)})"
            )


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))
