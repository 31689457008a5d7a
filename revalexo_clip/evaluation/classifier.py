"""Evaluate an activity classifier on its test subjects: predictions, metrics and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import sha256_of, write_json
from revalexo_clip.core.progress import Progress, silent_progress
from revalexo_clip.core.types import UNLABELLED, Split
from revalexo_clip.data import Dataset, LabelledWindows, WindowDataset
from revalexo_clip.evaluation.folder import changed_data, results_folder
from revalexo_clip.evaluation.held_out import (
    check_same_imu,
    check_same_video,
    describe_seen,
    edited,
    seen_among,
)
from revalexo_clip.evaluation.inference import predict_all
from revalexo_clip.evaluation.storage import write_predictions
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.per_horizon import measure_classification
from revalexo_clip.reports.findings import ClassifierFindings
from revalexo_clip.reports.html.classifier.page import write_classifier_report
from revalexo_clip.runs.classifier_checkpoint import ClassifierCheckpoint, load_classifier_checkpoint
from revalexo_clip.runs.folder import folder_of
from revalexo_clip.training.loaders import evaluation_batch_size
from revalexo_clip.training.trackers import upload_report

Subjects = Mapping[Split, tuple[str, ...]]
"""Subjects of the training (`train`) and of model selection (`val`)."""


@dataclass(frozen=True)
class ClassifierEvaluation:
    """Results of an activity classifier, and the files that hold them."""

    findings: ClassifierFindings
    path: Path
    """`metrics.json`. `predictions.h5` and `report.html` are in the same folder."""

    @property
    def report(self) -> Path:
        """`report.html`, in the folder of `metrics.json`."""
        return self.path.with_name("report.html")

    @property
    def metrics(self) -> JsonObject:
        """Content of `metrics.json`."""
        return self.findings.metrics


def evaluate_classifier(
    path: Path,
    *,
    data_root: Path | None = None,
    overrides: Sequence[str] = (),
    experiment_file: Path | None = None,
    allow_seen_subjects: bool = False,
    out: Path | None = None,
    progress: Progress = silent_progress,
) -> ClassifierEvaluation:
    """Evaluate a checkpoint on its test subjects, or on others that overrides name, and write the results.

    `out` is the output folder; the default is that of `results_folder`. Raises `ConfigError` if the subjects were used
    in training and that is not allowed, and what `measure_classifier` raises.
    """
    if experiment_file is not None:
        import_experiment_file(experiment_file)
    checkpoint = load_classifier_checkpoint(path, experiment_file)
    root = [] if data_root is None else [f"data.root={data_root}"]
    experiment = edited(checkpoint.description.experiment, [*root, *overrides])
    if experiment.data.subjects("test") and not allow_seen_subjects:
        windows = windows_of(experiment, "test", with_video=False)
        refuse_seen(str(path), checkpoint.description.has_seen, windows)
    if out is None:
        changed = changed_data(checkpoint.description, checkpoint.description.experiment, experiment)
        out = results_folder(checkpoint.path, changed)
    return measure_classifier(checkpoint, experiment, progress, out=out)


def measure_classifier(
    checkpoint: ClassifierCheckpoint,
    experiment: FinetuneExperiment,
    progress: Progress = silent_progress,
    *,
    out: Path | None = None,
) -> ClassifierEvaluation:
    """Evaluate a checkpoint on the test subjects of `experiment`, and write the results.

    `experiment` is the checkpoint's own, perhaps with other data. The results go to `out`, or to `evaluation/` in the
    run folder. Raises `ConfigError` if there are no test subjects, `DataError` if the windows do not have the format
    of the training.
    """
    described = checkpoint.description
    if not experiment.data.subjects("test"):
        raise ConfigError("the experiment names no test subjects; name some: --set data.test_subjects=NAME,...")
    windows = windows_of(experiment, "test", with_video=experiment.modality != "imu")
    _check_windows(checkpoint, windows)
    with progress("predicting") as on_progress:
        predictions = predict_all(
            checkpoint.build_model(),
            windows,
            batch_size=evaluation_batch_size(experiment.batch_size, experiment.micro_batch),
            workers=experiment.data.workers,
            config=experiment.trainer,
            on_progress=on_progress,
        )
    if not np.isfinite(predictions.logits_NKA).all():
        raise DataError(f"{checkpoint.path}: its logits are not finite; training may have diverged")
    if not (predictions.label_NK != UNLABELLED).any():
        raise DataError("data: no test window has a label at any of data.horizons")
    with progress("measuring"):
        metrics = {
            "checkpoint": str(checkpoint.path),
            "sha256": sha256_of(checkpoint.path),
            "epoch": checkpoint.epoch,
            "seen": None if described.has_seen is None else seen_among(described.has_seen, windows),
            **measure_classification(predictions, TimeBootstrap(units_of(predictions)), described.trained_activities),
        }
    folder = out or results_folder(checkpoint.path, changed={})
    write_json(folder / "metrics.json", metrics)
    identity = {"checkpoint": str(metrics["checkpoint"]), "sha256": str(metrics["sha256"])}
    write_predictions(folder / "predictions.h5", predictions, identity)
    subjects: dict[str, tuple[str, ...]] = dict(described.subjects.items())
    subjects["test"] = tuple(sorted(set(windows.clip_subjects)))
    if described.pretrained_on:
        subjects["pretrain"] = tuple(sorted({one for seen in described.pretrained_on.values() for one in seen}))
    log = folder_of(checkpoint.path) / "metrics.csv"
    findings = ClassifierFindings(experiment.name, metrics, predictions, log, subjects)
    result = ClassifierEvaluation(findings, folder / "metrics.json")
    with progress("report"):
        write_classifier_report(result.report, findings)
    upload_report(checkpoint.description.experiment, folder_of(checkpoint.path), result.report)
    return result


def windows_of(experiment: FinetuneExperiment, split: Split, *, with_video: bool) -> LabelledWindows:
    """Index the windows of a split, with video only if it is needed.

    Raises `ConfigError` if video is needed and the dataset has none.
    """
    if not with_video:
        return experiment.data.labelled(split, experiment.seed)
    if not isinstance(experiment.data, Dataset):
        raise ConfigError(
            f"data: {type(experiment.data).__name__} has no video, which modality={experiment.modality} or the teacher "
            "needs"
        )
    return experiment.data.build(split, experiment.seed)


def refuse_seen(
    source: str,
    subjects: Subjects | None,
    test: LabelledWindows,
    instead: str = (
        "Choose others (--set data.test_subjects=NAME,...), start from a checkpoint that was not trained on them"
    ),
) -> None:
    """Raise `ConfigError` if the training of `source` used a test subject, or if that is not known.

    `instead` tells the user what to do about it.
    """
    if subjects is None:
        raise ConfigError(
            f"{source} does not say which subjects it was trained on, so the test subjects may be among them. If you "
            "know that they are not, pass --allow-seen-subjects."
        )
    if used := describe_seen(seen_among(subjects, test)):
        raise ConfigError(
            f"{source}: {used}, so the results would not measure generalisation. {instead}, "
            "or pass --allow-seen-subjects."
        )


def _check_windows(checkpoint: ClassifierCheckpoint, windows: LabelledWindows) -> None:
    """Raise `DataError` if windows do not have the format of the checkpoint's encoders, or other activities."""
    described = checkpoint.description
    if described.imu_spec is not None:
        check_same_imu(described.imu_spec, windows.imu_spec, checkpoint.path)
    if described.video_spec is not None:
        assert isinstance(windows, WindowDataset)
        check_same_video(described.video_spec, windows.video_spec, checkpoint.path)
    known: Mapping[str, tuple[object, ...]] = {"activities": described.activities, "horizons": described.horizons}
    given: Mapping[str, tuple[object, ...]] = {"activities": windows.activities, "horizons": windows.horizons}
    for what, values in known.items():
        if given[what] != values:
            trained, here = (", ".join(map(str, one)) for one in (values, given[what]))
            raise DataError(f"{checkpoint.path} was trained with other {what}: {trained} in training, {here} here")
