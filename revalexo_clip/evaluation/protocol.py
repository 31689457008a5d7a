"""Evaluate a checkpoint on unseen subjects, as `rxclip evaluate` does with one checkpoint.

A pretrained dual encoder is evaluated by retrieval, embedding geometry and linear probes. A finetuned activity
classifier is evaluated by `classifier`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.files import sha256_of, write_json
from revalexo_clip.core.progress import Progress, silent_progress
from revalexo_clip.data import LabelledWindows, WindowDataset
from revalexo_clip.evaluation.classifier import ClassifierEvaluation, evaluate_classifier
from revalexo_clip.evaluation.encoding import encode, encode_training_subjects
from revalexo_clip.evaluation.folder import chosen_folder, results_folder
from revalexo_clip.evaluation.held_out import HeldOut, load_for_evaluation, seen_subjects
from revalexo_clip.evaluation.reference import SupervisedEncoder, identity_of, load_reference
from revalexo_clip.evaluation.robustness import encode_perturbed
from revalexo_clip.evaluation.storage import write_embeddings
from revalexo_clip.evaluation.zero_shot import measure_text
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.embedding_geometry import geometry
from revalexo_clip.metrics.evaluated import EvaluatedWindows, Ints
from revalexo_clip.metrics.galleries import Gallery, count_parts, measure_retrieval, rank_galleries
from revalexo_clip.metrics.probe_results import ProbeResults, can_be_trained, probe_windows, unprobed
from revalexo_clip.metrics.robustness import measure_robustness
from revalexo_clip.reports.findings import Findings
from revalexo_clip.reports.html.evaluation.page import write_report
from revalexo_clip.runs.checkpoint import Checkpoint
from revalexo_clip.runs.classifier_checkpoint import ClassifierCheckpoint, is_classifier
from revalexo_clip.runs.folder import find_checkpoint, folder_of
from revalexo_clip.training.trackers import upload_report


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
    reference: str | Path | None = None,
    robustness: bool = False,
    zero_shot: str | Path | None = None,
    out: str | Path | None = None,
    progress: Progress = silent_progress,
) -> Evaluation | ClassifierEvaluation:
    """Evaluate a checkpoint on its test subjects, and write `metrics.json`, `report.html` and an HDF5 file.

    A pretrained dual encoder is evaluated by retrieval, embedding geometry and linear probes (`embeddings.h5`), an
    encoder of IMU alone without retrieval; an activity classifier by its predictions (`predictions.h5`), to which
    `probe`, `tolerance`, `reference`, `robustness` and `zero_shot` do not apply.

    - `ckpt`: a checkpoint or a run folder; None for the newest run.
    - `data_root`: dataset root, if it moved.
    - `overrides`: `path=value` settings of the experiment, e.g. `data.test_subjects=05,09`.
    - `experiment_file`: file that defines components that the checkpoint names.
    - `allow_seen_subjects`: evaluate on subjects that were used in training, too.
    - `probe`: train linear probes on frozen features.
    - `tolerance`: windows of a recording that start less than this apart [s] count as one answer in retrieval.
    - `reference`: run folder or checkpoint of an activity classifier with the same IMU encoder, trained from scratch on
      all labels of the same subjects. Its features are probed, too, and show which share of the gap between the
      untrained and the supervised network pretraining closes (`probe.gap_closed`).
    - `robustness`: evaluate again with perturbed IMU: sensors missing or turned, another time or rate.
    - `zero_shot`: classify windows by sentences and search for windows by their sentences, if the checkpoint was
      trained with text: `activities` of the data, or the path of a JSON file with the sentences of classes.
    - `out`: output folder. The default is `evaluation/` in the run folder for the checkpoint's own test subjects, with
      the probe and without tolerance; anything else has a folder inside it, e.g. `evaluation/no-probe/`.
    - `progress`: opens a progress display for each step.

    Raises `ConfigError` if an argument is wrong or if test subjects were used in training; `DataError` if a file
    cannot be read or written, or if the data do not have the format of the training.
    """
    check_tolerance(tolerance)
    if reference is not None and not probe:
        raise ConfigError("--reference requires the probe; leave out --no-probe")
    folder = chosen_folder(out)
    path = find_checkpoint(None if ckpt is None else Path(ckpt))
    root = None if data_root is None else Path(data_root)
    file = None if experiment_file is None else Path(experiment_file)
    if is_classifier(path):
        for option, given in (
            ("--reference", reference is not None),
            ("--robustness", robustness),
            ("--zero-shot", zero_shot is not None),
        ):
            if given:
                raise ConfigError(
                    f"{option} requires a pretraining checkpoint; {path} is that of an activity classifier"
                )
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
    supervised = None
    if reference is not None:
        supervised = load_reference(reference, held_out, experiment_file=file, allow_seen_subjects=allow_seen_subjects)
    return measure(
        held_out,
        probe=probe,
        tolerance=tolerance,
        reference=supervised,
        robustness=robustness,
        zero_shot=zero_shot,
        out=folder,
        progress=progress,
    )


def check_tolerance(tolerance: float) -> None:
    """Raise `ConfigError` if a tolerance [s] is negative or not finite."""
    if not 0 <= tolerance < math.inf:
        raise ConfigError(f"tolerance: {tolerance:g} s; it must be 0 s or more")


def measure(
    held_out: HeldOut,
    *,
    probe: bool,
    tolerance: float,
    progress: Progress,
    reference: ClassifierCheckpoint | None = None,
    robustness: bool = False,
    zero_shot: str | Path | None = None,
    out: Path | None = None,
) -> Evaluation:
    """Evaluate a pretrained checkpoint on its evaluation windows, and write the results. See `evaluate`."""
    checkpoint, experiment, dataset = held_out.checkpoint, held_out.experiment, held_out.dataset
    folder = out or results_folder(checkpoint.path, held_out.changed, probe=probe, tolerance=tolerance)
    if robustness and not isinstance(dataset, WindowDataset):
        raise ConfigError("--robustness: needs a video encoder, because it measures retrieval; the checkpoint has none")
    supervised = None if reference is None else SupervisedEncoder(reference)
    with progress("embedding") as on_progress:
        windows = encode(checkpoint, dataset, experiment, on_progress, supervised)
    bootstrap = TimeBootstrap(units_of(windows))
    metrics = _heading(checkpoint, dataset, windows, bootstrap) | {"split": held_out.split, "tolerance": tolerance}
    galleries: Mapping[str, Gallery] = {}
    if windows.has_video:
        with progress("retrieval"):
            galleries = rank_galleries(windows, tolerance)
            metrics |= measure_retrieval(windows, galleries, bootstrap)
    else:
        metrics |= count_parts(windows)
    metrics["geometry"] = geometry(windows.imu_ND, windows.video_ND)
    training, probe_results = None, unprobed("not asked for")
    if probe:
        if len(windows.subjects) == 1:
            training = encode_training_subjects(checkpoint, experiment, windows, progress, supervised)
        probe_results = _probe(windows, training, bootstrap, progress)
    metrics |= {"probe": probe_results.metrics, "probe_reason": probe_results.reason}
    metrics |= {"reference": None if reference is None else identity_of(reference), "robustness": None}
    if robustness and isinstance(dataset, WindowDataset):
        with progress("perturbing") as on_progress:
            perturbed = encode_perturbed(checkpoint, dataset, experiment, on_progress)
            probed = probe_results.metrics is not None
            metrics["robustness"] = measure_robustness(windows, training, perturbed, probed=probed, tolerance=tolerance)
    metrics["zero_shot"] = None
    if zero_shot is not None:
        with progress("asking in words"):
            metrics["zero_shot"] = measure_text(
                checkpoint, windows, dataset, experiment, bootstrap=bootstrap, chosen=zero_shot
            )
    path = folder / "metrics.json"
    write_json(path, metrics)
    identity = {"checkpoint": str(metrics["checkpoint"]), "sha256": str(metrics["sha256"])}
    write_embeddings(folder / "embeddings.h5", windows, probe_results.predictions, identity)
    log = folder_of(checkpoint.path) / "metrics.csv"
    findings = Findings(experiment.name, metrics, windows, galleries, dataset, log)
    result = Evaluation(findings, path, probe_results.predictions)
    with progress("report"):
        write_report(result.report, findings)
    upload_report(checkpoint.description.experiment, folder_of(checkpoint.path), result.report)
    return result


def _heading(
    checkpoint: Checkpoint, dataset: LabelledWindows, windows: EvaluatedWindows, bootstrap: TimeBootstrap
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
    windows: EvaluatedWindows,
    training: EvaluatedWindows | None,
    bootstrap: TimeBootstrap,
    progress: Progress,
) -> ProbeResults:
    """Train and test the probes, or say why that is impossible. `training` is that of `probe_windows`."""
    if len(windows.subjects) == 1 and training is None:
        return unprobed("there are no other subjects with labels to train a probe on")
    if not can_be_trained([windows] if training is None else [training]):
        return unprobed("no window has a label at any of data.horizons")
    with progress("probing") as on_progress:
        return probe_windows(windows, training, bootstrap, on_progress)
