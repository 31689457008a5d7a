"""`rxclip evaluate`: what a checkpoint is worth on people it has not seen, from nothing but itself and the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import lightning.pytorch as pl
import torch

from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import sha256_of, write_json
from revalexo_clip.core.progress import OnProgress, Progress, silent_progress
from revalexo_clip.data import WindowDataset
from revalexo_clip.evaluation.held_out import HeldOut, check_same_input, load_for_evaluation, seen_subjects
from revalexo_clip.evaluation.inference import Counting, Extract, FeatureModule, gathered
from revalexo_clip.evaluation.storage import write_embeddings
from revalexo_clip.metrics.bootstrap import ClipBootstrap, interval_reason
from revalexo_clip.metrics.embedding_geometry import geometry
from revalexo_clip.metrics.evaluated import EvaluatedWindows, Ints
from revalexo_clip.metrics.galleries import measure_retrieval, rank_galleries
from revalexo_clip.metrics.probe_results import ProbeResults, can_be_trained, probe_windows, unprobed
from revalexo_clip.reports.findings import Findings
from revalexo_clip.reports.html.evaluation.page import write_report
from revalexo_clip.runs.checkpoint import Checkpoint
from revalexo_clip.runs.folder import find_checkpoint, folder_of
from revalexo_clip.training.loaders import evaluation_loader
from revalexo_clip.training.trainer import devices_available


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and where it was written."""

    findings: Findings
    path: Path
    """`metrics.json`; `embeddings.h5` lies beside it."""
    predictions: Mapping[str, Ints]
    """[N, K] what probes predicted, under `<probe>/<features>`; empty where there was none."""

    @property
    def report(self) -> Path:
        """`report.html`, beside `metrics.json`."""
        return self.path.with_name("report.html")

    @property
    def metrics(self) -> JsonObject:
        """What `metrics.json` holds."""
        return self.findings.metrics


def evaluate(
    ckpt: Path | None = None,
    *,
    data_root: Path | None = None,
    overrides: Sequence[str] = (),
    experiment_file: Path | None = None,
    allow_seen_subjects: bool = False,
    probe: bool = True,
    tolerance: float = 0.0,
    progress: Progress = silent_progress,
) -> Evaluation:
    """Evaluate a checkpoint on its test subjects: retrieval, geometry, and what frozen features know of activities.

    `ckpt` is a checkpoint, a run folder, or None for the newest run. Subjects that it was trained or selected on are
    refused unless they are allowed. `tolerance` [s] lets windows of a clip that start less than this apart count as
    one answer in retrieval. Raises `ConfigError` or `DataError`.
    """
    admitted = load_for_evaluation(
        find_checkpoint(ckpt),
        data_root=data_root,
        overrides=overrides,
        experiment_file=experiment_file,
        allow_seen_subjects=allow_seen_subjects,
    )
    return measure(admitted, probe=probe, tolerance=tolerance, progress=progress)


def measure(admitted: HeldOut, *, probe: bool, tolerance: float, progress: Progress) -> Evaluation:
    """What `evaluate` measures and writes of a checkpoint, once it is known on which windows."""
    checkpoint, experiment, dataset = admitted.checkpoint, admitted.experiment, admitted.dataset
    with progress("embedding") as on_progress:
        windows = _encode(checkpoint, dataset, experiment, on_progress)
    bootstrap = ClipBootstrap(windows.clip_subjects)
    metrics = _heading(checkpoint, dataset, windows) | {"split": admitted.split, "tolerance": tolerance}
    with progress("retrieval"):
        galleries = rank_galleries(windows, tolerance)
        metrics |= measure_retrieval(windows, galleries, bootstrap)
    metrics["geometry"] = geometry(windows.imu_ND, windows.video_ND)
    probe_results = _probe(checkpoint, windows, experiment, bootstrap, progress) if probe else unprobed("not asked for")
    metrics |= {"probe": probe_results.metrics, "probe_reason": probe_results.reason}
    path = folder_of(checkpoint.path) / "evaluation" / "metrics.json"
    write_json(path, metrics)
    identity = {"checkpoint": str(metrics["checkpoint"]), "sha256": str(metrics["sha256"])}
    write_embeddings(path.with_name("embeddings.h5"), windows, probe_results.predictions, identity)
    log = folder_of(checkpoint.path) / "metrics.csv"
    findings = Findings(experiment.name, metrics, windows, galleries, dataset, log)
    result = Evaluation(findings, path, probe_results.predictions)
    with progress("report"):
        write_report(result.report, findings)
    return result


def _encode(
    checkpoint: Checkpoint, dataset: WindowDataset, experiment: PretrainExperiment, on_progress: OnProgress
) -> EvaluatedWindows:
    """Everything that is measured of a dataset's windows, each of which is read once."""
    described = checkpoint.description
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(described.experiment.seed)  # as training did, whose first weights these are
        untrained = described.experiment.build_model(described.imu_spec, described.video_spec)
    module = FeatureModule(checkpoint.build_model(), untrained, described.imu_spec.rate)
    loader = evaluation_loader(
        dataset, batch_size=experiment.micro_batch or experiment.batch_size, workers=experiment.data.workers
    )
    with devices_available():
        trainer = pl.Trainer(
            accelerator=experiment.trainer.accelerator,
            devices=1,
            callbacks=[Counting(on_progress, len(loader))],
            logger=False,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    found = gathered(cast("list[Extract]", trainer.predict(module, loader)))  # what its predict_step gives
    for modality, embedding_BD in (("IMU", found.imu_BD), ("video", found.video_BD)):
        if not embedding_BD.isfinite().all():
            raise DataError(f"{checkpoint.path}: its {modality} embeddings are not finite; did its training diverge?")
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
        clip_subjects=dataset.clip_subjects,
        clip_names=dataset.clip_names,
        activities=dataset.activities,
        horizons=dataset.horizons,
    )


def _heading(checkpoint: Checkpoint, dataset: WindowDataset, windows: EvaluatedWindows) -> JsonObject:
    """What was measured on whom, and why some of it may be missing."""
    clips, subjects = len(set(windows.clip_N.tolist())), len(windows.subjects)
    return {
        "seen": seen_subjects(checkpoint, dataset),
        "windows": len(windows),
        "clips": clips,
        "interval_reason": interval_reason(clips, subjects),
        "checkpoint": str(checkpoint.path),
        "sha256": sha256_of(checkpoint.path),
        "epoch": checkpoint.epoch,
    }


def _probe(
    checkpoint: Checkpoint,
    windows: EvaluatedWindows,
    experiment: PretrainExperiment,
    bootstrap: ClipBootstrap,
    progress: Progress,
) -> ProbeResults:
    """What probes find; or why there is none. A single subject is probed with training from the training subjects."""
    training = None
    if len(windows.subjects) == 1:
        others = tuple(name for name in checkpoint.description.subjects["train"] if name not in windows.subjects)
        if not others:
            return unprobed("there is nobody else whose labels a probe could be trained on")
        with progress("embedding training subjects") as on_progress:
            training = _encode(checkpoint, _of_others(checkpoint, experiment, others), experiment, on_progress)
    if not can_be_trained([windows] if training is None else [training]):
        return unprobed("no window has a label at any of data.horizons")
    with progress("probing") as on_progress:
        return probe_windows(windows, training, bootstrap, on_progress)


def _of_others(checkpoint: Checkpoint, experiment: PretrainExperiment, subjects: tuple[str, ...]) -> WindowDataset:
    """Evaluation windows of the training subjects."""
    try:
        dataset = experiment.data.evaluating(subjects).build("test", experiment.seed)
        check_same_input(checkpoint, dataset)
    except DataError as error:
        raise DataError(
            f"{error}\nThe probe of a single evaluation subject is trained on the training subjects; go without it "
            "with --no-probe, or name more subjects with --set data.test_subjects=..."
        ) from error
    return dataset
