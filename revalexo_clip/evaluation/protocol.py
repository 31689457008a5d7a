"""Evaluate a checkpoint on unseen subjects, as `rxclip evaluate` does with one checkpoint.

A pretrained dual encoder is evaluated by retrieval, embedding geometry and linear probes. A finetuned activity
classifier is evaluated by `classifier`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import sha256_of, write_json
from revalexo_clip.core.progress import OnProgress, Progress, silent_progress
from revalexo_clip.data import WindowDataset
from revalexo_clip.data.subjects import alike
from revalexo_clip.evaluation.classifier import ClassifierEvaluation, evaluate_classifier
from revalexo_clip.evaluation.folder import chosen_folder, results_folder
from revalexo_clip.evaluation.held_out import HeldOut, check_same_input, load_for_evaluation, seen_subjects
from revalexo_clip.evaluation.inference import Extract, FeatureModule, concatenate, predict_batches
from revalexo_clip.evaluation.storage import write_embeddings
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.embedding_geometry import geometry
from revalexo_clip.metrics.evaluated import EvaluatedWindows, Ints
from revalexo_clip.metrics.galleries import measure_retrieval, rank_galleries
from revalexo_clip.metrics.probe_results import ProbeResults, can_be_trained, probe_windows, unprobed
from revalexo_clip.reports.findings import Findings
from revalexo_clip.reports.html.evaluation.page import write_report
from revalexo_clip.runs.checkpoint import Checkpoint
from revalexo_clip.runs.classifier_checkpoint import is_classifier
from revalexo_clip.runs.folder import find_checkpoint, folder_of
from revalexo_clip.training.loaders import evaluation_batch_size, evaluation_loader


@dataclass(frozen=True)
class Evaluation:
    """Results of a pretrained dual encoder, and the files that hold them."""

    findings: Findings
    path: Path
    """`metrics.json`. `embeddings.h5` and `report.html` are in the same folder."""
    predictions: Mapping[str, Ints]
    """Predictions of the probes [N, K], under `<probe>/<features>`; empty without a probe."""

    @property
    def report(self) -> Path:
        """`report.html`, in the folder of `metrics.json`."""
        return self.path.with_name("report.html")

    @property
    def metrics(self) -> JsonObject:
        """Content of `metrics.json`."""
        return self.findings.metrics


def evaluate(
    ckpt: str | Path | None = None,
    *,
    data_root: str | Path | None = None,
    overrides: Sequence[str] = (),
    experiment_file: str | Path | None = None,
    allow_seen_subjects: bool = False,
    probe: bool = True,
    tolerance: float = 0.0,
    out: str | Path | None = None,
    progress: Progress = silent_progress,
) -> Evaluation | ClassifierEvaluation:
    """Evaluate a checkpoint on its test subjects, and write `metrics.json`, `report.html` and an HDF5 file.

    A pretrained dual encoder is evaluated by retrieval, embedding geometry and linear probes (`embeddings.h5`); an
    activity classifier by its predictions (`predictions.h5`), to which `probe` and `tolerance` do not apply.

    - `ckpt`: a checkpoint or a run folder; None for the newest run.
    - `data_root`: dataset root, if it moved.
    - `overrides`: `path=value` settings of the experiment, e.g. `data.test_subjects=05,09`.
    - `experiment_file`: file that defines components that the checkpoint names.
    - `allow_seen_subjects`: evaluate on subjects that were used in training, too.
    - `probe`: train linear probes on frozen features.
    - `tolerance`: windows of a recording that start less than this apart [s] count as one answer in retrieval.
    - `out`: output folder. The default is `evaluation/` in the run folder for the checkpoint's own test subjects, with
      the probe and without tolerance; anything else has a folder inside it, e.g. `evaluation/no-probe/`.
    - `progress`: opens a progress display for each step.

    Raises `ConfigError` if an argument is wrong or if test subjects were used in training; `DataError` if a file
    cannot be read or written, or if the data do not have the format of the training.
    """
    check_tolerance(tolerance)
    folder = chosen_folder(out)
    path = find_checkpoint(None if ckpt is None else Path(ckpt))
    root = None if data_root is None else Path(data_root)
    file = None if experiment_file is None else Path(experiment_file)
    if is_classifier(path):
        return evaluate_classifier(
            path,
            data_root=root,
            overrides=overrides,
            experiment_file=file,
            allow_seen_subjects=allow_seen_subjects,
            out=folder,
            progress=progress,
        )
    held_out = load_for_evaluation(
        path,
        data_root=root,
        overrides=overrides,
        experiment_file=file,
        allow_seen_subjects=allow_seen_subjects,
    )
    return measure(held_out, probe=probe, tolerance=tolerance, out=folder, progress=progress)


def check_tolerance(tolerance: float) -> None:
    """Raise `ConfigError` if a tolerance [s] is negative or not finite."""
    if not 0 <= tolerance < math.inf:
        raise ConfigError(f"tolerance: {tolerance:g} s; it must be 0 s or more")


def measure(
    held_out: HeldOut, *, probe: bool, tolerance: float, progress: Progress, out: Path | None = None
) -> Evaluation:
    """Evaluate a pretrained checkpoint on its evaluation windows, and write the results. See `evaluate`."""
    checkpoint, experiment, dataset = held_out.checkpoint, held_out.experiment, held_out.dataset
    folder = out or results_folder(checkpoint.path, held_out.changed, probe=probe, tolerance=tolerance)
    with progress("embedding") as on_progress:
        windows = _encode(checkpoint, dataset, experiment, on_progress)
    bootstrap = TimeBootstrap(units_of(windows))
    metrics = _heading(checkpoint, dataset, windows, bootstrap) | {"split": held_out.split, "tolerance": tolerance}
    with progress("retrieval"):
        galleries = rank_galleries(windows, tolerance)
        metrics |= measure_retrieval(windows, galleries, bootstrap)
    metrics["geometry"] = geometry(windows.imu_ND, windows.video_ND)
    probe_results = _probe(checkpoint, windows, experiment, bootstrap, progress) if probe else unprobed("not asked for")
    metrics |= {"probe": probe_results.metrics, "probe_reason": probe_results.reason}
    path = folder / "metrics.json"
    write_json(path, metrics)
    identity = {"checkpoint": str(metrics["checkpoint"]), "sha256": str(metrics["sha256"])}
    write_embeddings(folder / "embeddings.h5", windows, probe_results.predictions, identity)
    log = folder_of(checkpoint.path) / "metrics.csv"
    findings = Findings(experiment.name, metrics, windows, galleries, dataset, log)
    result = Evaluation(findings, path, probe_results.predictions)
    with progress("report"):
        write_report(result.report, findings)
    return result


def _encode(
    checkpoint: Checkpoint, dataset: WindowDataset, experiment: PretrainExperiment, on_progress: OnProgress
) -> EvaluatedWindows:
    """Encode the windows of a dataset. Each window is read once."""
    described = checkpoint.description
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(described.experiment.seed)  # the initial weights of the training
        untrained = described.experiment.build_model(described.imu_spec, described.video_spec)
    module = FeatureModule(checkpoint.build_model(), untrained, described.imu_spec)
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
            "video": found.video_features_BD,
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


def _heading(
    checkpoint: Checkpoint, dataset: WindowDataset, windows: EvaluatedWindows, bootstrap: TimeBootstrap
) -> JsonObject:
    """Describe the checkpoint and its windows, and why intervals may be missing."""
    return {
        "seen": seen_subjects(checkpoint, dataset),
        "windows": len(windows),
        "clips": len(set(windows.clip_N.tolist())),
        **bootstrap.units.as_metrics(),
        "checkpoint": str(checkpoint.path),
        "sha256": sha256_of(checkpoint.path),
        "epoch": checkpoint.epoch,
    }


def _probe(
    checkpoint: Checkpoint,
    windows: EvaluatedWindows,
    experiment: PretrainExperiment,
    bootstrap: TimeBootstrap,
    progress: Progress,
) -> ProbeResults:
    """Train and test the probes, or say why that is impossible.

    If there is a single test subject, the probes are trained on the training subjects.
    """
    training = None
    if len(windows.subjects) == 1:
        (tested,) = windows.subjects
        others = tuple(name for name in checkpoint.description.subjects["train"] if not alike(name, tested))
        if not others:
            return unprobed("there are no other subjects with labels to train a probe on")
        with progress("embedding training subjects") as on_progress:
            training = _encode(checkpoint, _windows_of(checkpoint, experiment, others), experiment, on_progress)
    if not can_be_trained([windows] if training is None else [training]):
        return unprobed("no window has a label at any of data.horizons")
    with progress("probing") as on_progress:
        return probe_windows(windows, training, bootstrap, on_progress)


def _windows_of(checkpoint: Checkpoint, experiment: PretrainExperiment, subjects: tuple[str, ...]) -> WindowDataset:
    """Index evaluation windows of the training subjects."""
    try:
        dataset = experiment.data.evaluating(subjects).build("test", experiment.seed)
        check_same_input(checkpoint, dataset)
    except DataError as error:
        raise DataError(
            f"{error}\nWith a single test subject, the probe is trained on the training subjects. Pass --no-probe, or "
            "name more subjects: --set data.test_subjects=NAME,..."
        ) from error
    return dataset
