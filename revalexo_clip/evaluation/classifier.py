"""What an activity classifier is worth on its test subjects: predictions, figures, report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import atomically, sha256_of
from revalexo_clip.core.progress import Progress, silent_progress
from revalexo_clip.core.types import UNLABELLED, Split
from revalexo_clip.data import Dataset, LabelledWindows, WindowDataset
from revalexo_clip.evaluation.held_out import check_same_imu, check_same_video, edited, seen_among
from revalexo_clip.evaluation.inference import predict_all
from revalexo_clip.evaluation.storage import write_predictions
from revalexo_clip.metrics.bootstrap import ClipBootstrap
from revalexo_clip.metrics.per_horizon import measure_classification
from revalexo_clip.reports.findings import ClassifierFindings
from revalexo_clip.reports.html.classifier.page import write_classifier_report
from revalexo_clip.reports.leakage import seen_text
from revalexo_clip.runs.classifier_checkpoint import ClassifierCheckpoint, load_classifier_checkpoint
from revalexo_clip.runs.folder import folder_of

Subjects = Mapping[Split, tuple[str, ...]]
"""Whom something was trained on and selected on."""


@dataclass(frozen=True)
class ClassifierEvaluation:
    """How an activity classifier did, and where that was written."""

    findings: ClassifierFindings
    path: Path
    """`metrics.json`; `predictions.h5` and `report.html` lie beside it."""

    @property
    def metrics(self) -> JsonObject:
        """What `metrics.json` holds."""
        return self.findings.metrics


def evaluate_classifier(
    path: Path,
    *,
    data_root: Path | None = None,
    overrides: Sequence[str] = (),
    experiment_file: Path | None = None,
    allow_seen_subjects: bool = False,
    progress: Progress = silent_progress,
) -> ClassifierEvaluation:
    """Measure a checkpoint on its test subjects, or on others that overrides name.

    Raises `ConfigError` where it has seen them and that is not allowed, and what `measure_classifier` raises.
    """
    if experiment_file is not None:
        import_experiment_file(experiment_file)
    checkpoint = load_classifier_checkpoint(path, experiment_file)
    root = [] if data_root is None else [f"data.root={data_root}"]
    experiment = edited(checkpoint.description.experiment, [*root, *overrides])
    if experiment.data.subjects("test") and not allow_seen_subjects:
        windows = windows_of(experiment, "test", with_video=False)
        refuse_seen(str(path), checkpoint.description.has_seen, windows)
    return measure_classifier(checkpoint, experiment, progress)


def measure_classifier(
    checkpoint: ClassifierCheckpoint, experiment: FinetuneExperiment, progress: Progress = silent_progress
) -> ClassifierEvaluation:
    """Measure a checkpoint on the test subjects of `experiment`: its own, or that with data somewhere else.

    Raises `ConfigError` where there are no test subjects, `DataError` where the windows are not what it takes.
    """
    described = checkpoint.description
    if not experiment.data.subjects("test"):
        raise ConfigError("the experiment names no test subjects: --set data.test_subjects=NAME,...")
    windows = windows_of(experiment, "test", with_video=experiment.modality != "imu")
    _check_windows(checkpoint, windows)
    with progress("recognising") as on_progress:
        predictions = predict_all(
            checkpoint.build_model(),
            windows,
            batch_size=experiment.micro_batch or experiment.batch_size,
            workers=experiment.data.workers,
            config=experiment.trainer,
            on_progress=on_progress,
        )
    if not np.isfinite(predictions.logits_NKA).all():
        raise DataError(f"{checkpoint.path}: its logits are not finite; did its training diverge?")
    if not (predictions.label_NK != UNLABELLED).any():
        raise DataError("data: no test window has a label at any of data.horizons")
    with progress("measuring"):
        metrics = {
            "checkpoint": str(checkpoint.path),
            "sha256": sha256_of(checkpoint.path),
            "epoch": checkpoint.epoch,
            "seen": None if described.has_seen is None else seen_among(described.has_seen, windows),
            **measure_classification(predictions, ClipBootstrap(windows.clip_subjects), described.trained_activities),
        }
    folder = folder_of(checkpoint.path) / "evaluation"
    with atomically(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    identity = {"checkpoint": str(metrics["checkpoint"]), "sha256": str(metrics["sha256"])}
    write_predictions(folder / "predictions.h5", predictions, identity)
    subjects: dict[str, tuple[str, ...]] = dict(described.subjects.items())
    subjects["test"] = tuple(sorted(set(windows.clip_subjects)))
    if described.pretrained_on:
        subjects["pretrain"] = tuple(sorted({one for seen in described.pretrained_on.values() for one in seen}))
    log = folder_of(checkpoint.path) / "metrics.csv"
    findings = ClassifierFindings(experiment.name, metrics, predictions, log, subjects)
    with progress("report"):
        write_classifier_report(folder / "report.html", findings)
    return ClassifierEvaluation(findings, folder / "metrics.json")


def windows_of(experiment: FinetuneExperiment, split: Split, *, with_video: bool) -> LabelledWindows:
    """The windows of a split, with video only where it is needed.

    Raises `ConfigError` where it is and the dataset has none.
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
    instead: str = "begin with what has not seen them, name other subjects (--set data.test_subjects=...)",
) -> None:
    """Raise `ConfigError` where what is learned from has seen a test subject, or may have; `instead` is what to do."""
    if subjects is None:
        raise ConfigError(
            f"{source} does not say on whom it was trained, so it may have seen the test subjects; if you know that it "
            "has not, --allow-seen-subjects"
        )
    if told := seen_text(seen_among(subjects, test)):
        raise ConfigError(
            f"{source} was {told}, so figures on them would say nothing of new people: {instead}, or test on them all "
            "the same, --allow-seen-subjects"
        )


def _check_windows(checkpoint: ClassifierCheckpoint, windows: LabelledWindows) -> None:
    """Raise `DataError` where windows are not what the checkpoint's encoders take, or mean other activities."""
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
            told, here = (", ".join(map(str, of)) for of in (values, given[what]))
            raise DataError(f"{checkpoint.path} tells other {what} apart: {told}, and here they are {here}")
