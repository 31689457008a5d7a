"""Results of evaluations of made windows, without checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from revalexo_clip.core.component import JsonObject
from revalexo_clip.evaluation.comparison import comparison_metrics
from revalexo_clip.evaluation.protocol import Evaluation
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.embedding_geometry import geometry
from revalexo_clip.metrics.evaluated import EvaluatedWindows
from revalexo_clip.metrics.galleries import measure_retrieval, rank_galleries
from revalexo_clip.metrics.probe_results import ProbeResults, probe_windows
from revalexo_clip.reports.findings import Findings
from support.made_windows import MadeDataset, made_windows


def made_probe_results(windows: EvaluatedWindows) -> ProbeResults:
    """What probes find in their features."""
    others = made_windows(subjects=3) if len(windows.subjects) == 1 else None
    return probe_windows(windows, others, TimeBootstrap(units_of(windows), resamples=20))


def made_evaluation(
    windows: EvaluatedWindows,
    name: str,
    probe_results: ProbeResults,
    log: Path = Path("metrics.csv"),
    *,
    resamples: int = 20,
) -> Evaluation:
    """All that is measured of them, as if an experiment of that name had made them."""
    bootstrap = TimeBootstrap(units_of(windows), resamples=resamples)
    galleries = rank_galleries(windows)
    metrics: JsonObject = {
        "seen": {"train": [], "val": []},
        "split": "test",
        "tolerance": 0.0,
        "windows": len(windows),
        "clips": len(windows.clip_names),
        **bootstrap.units.as_metrics(),
        "checkpoint": "runs/made/best.ckpt",
        "sha256": "0123456789abcdef",
        "epoch": 2,
        **measure_retrieval(windows, galleries, bootstrap),
        "geometry": geometry(windows.imu_ND, windows.video_ND),
        "probe": probe_results.metrics,
        "probe_reason": probe_results.reason,
        "reference": None,
        "robustness": None,
    }
    findings = Findings(name, metrics, windows, galleries, MadeDataset(windows), log)
    return Evaluation(findings, Path("evaluation/metrics.json"), probe_results.predictions)


def made_comparison(noises: Mapping[str, float], subjects: int = 2) -> JsonObject:
    """Of checkpoints by name, whose video lies so far from its IMU; other features are the same for all."""
    windows = made_windows(subjects)
    probe_results = made_probe_results(windows)
    evaluations = [
        made_evaluation(_with_noise(windows, noise), f"made {noise}", probe_results) for noise in noises.values()
    ]
    settings: list[JsonObject] = [{"optim.lr": [0.1, 0.2]} for _ in evaluations[1:]]
    return comparison_metrics([*noises], settings, evaluations)


def _with_noise(windows: EvaluatedWindows, noise: float) -> EvaluatedWindows:
    video_ND = windows.imu_ND + noise * torch.randn(windows.imu_ND.shape, generator=torch.Generator().manual_seed(1))
    return EvaluatedWindows(**{**vars(windows), "video_ND": torch.nn.functional.normalize(video_ND, dim=1)})
