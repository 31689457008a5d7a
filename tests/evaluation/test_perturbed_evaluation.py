"""Evaluation with perturbed IMU: what is read and encoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from support.documented import undocumented
from support.made_windows import MadeDataset, made_windows

from revalexo_clip.core.progress import no_progress
from revalexo_clip.evaluation.perturbations import half_rate
from revalexo_clip.evaluation.protocol import evaluate
from revalexo_clip.evaluation.robustness import at_other_times, encode_perturbed, rows_inside
from revalexo_clip.metrics.robustness import NotPerturbed, Perturbed
from revalexo_clip.runs.checkpoint import load_checkpoint

SAMPLES = 6
"""In 0.1 s at 60 Hz."""


@pytest.fixture(scope="module")
def perturbed(trained_run: Path) -> dict[tuple[str, str | None], Perturbed | NotPerturbed]:
    checkpoint = load_checkpoint(trained_run / "checkpoints" / "best.ckpt")
    experiment = checkpoint.description.experiment
    found = encode_perturbed(checkpoint, experiment.data.build("test", 0), experiment, no_progress)
    return {(one.name, one.sensor if isinstance(one, Perturbed) else None): one for one in found}


@pytest.mark.long
def test_windows_are_encoded_with_perturbed_imu(
    trained_run: Path, perturbed: dict[tuple[str, str | None], Perturbed | NotPerturbed]
) -> None:
    checkpoint = load_checkpoint(trained_run / "checkpoints" / "best.ckpt")
    dataset, model = checkpoint.description.experiment.data.build("test", 0), checkpoint.build_model()
    samples = [dataset[0, index] for index in range(len(dataset))]
    imu_BLC = torch.stack([sample.imu_LC for sample in samples])
    channels = checkpoint.description.imu_spec.channels
    silent_BLC = imu_BLC * torch.tensor([float("Pelvis" not in name) for name in channels])
    expected: dict[tuple[str, str | None], torch.Tensor] = {
        ("sensor_missing", "Pelvis"): silent_BLC,
        ("half_rate", None): half_rate(imu_BLC, torch.zeros(10)),
    }
    for name, shift in (("imu_late", -SAMPLES), ("imu_early", SAMPLES)):
        one = perturbed[name, None]
        assert isinstance(one, Perturbed)
        windows = []
        for row in one.rows.tolist():
            clip, first = int(samples[row].clip), round(60 * float(samples[row].start)) + shift
            windows.append(torch.from_numpy(cast("Any", dataset).source.imu(clip, slice(first, first + 120))))
        expected[name, None] = torch.stack(windows)
    for key, windows_BLC in expected.items():
        one = perturbed[key]
        assert isinstance(one, Perturbed)
        with torch.no_grad():
            torch.testing.assert_close(one.imu_MD, model.embed_imu(windows_BLC), rtol=1e-4, atol=1e-5)
            features_BF = model.imu_features(windows_BLC).double()
        torch.testing.assert_close(torch.from_numpy(one.features_MF), features_BF, rtol=1e-4, atol=1e-5)


def test_windows_that_would_leave_their_recording_are_left_out(
    trained_run: Path, perturbed: dict[tuple[str, str | None], Perturbed | NotPerturbed]
) -> None:
    dataset = load_checkpoint(trained_run / "checkpoints" / "best.ckpt").description.experiment.data.build("test", 0)
    start_N, clip_N = dataset.windows.start_N, dataset.windows.clip_N
    source = cast("Any", dataset).source
    for name, shift in (("imu_late", -SAMPLES), ("imu_early", SAMPLES)):
        one = perturbed[name, None]
        assert isinstance(one, Perturbed)
        inside = [
            row
            for row in range(len(dataset))
            if round(60 * start_N[row]) + shift >= 0
            and round(60 * start_N[row]) + shift + 120 <= source.samples(int(clip_N[row]))
        ]
        assert one.rows.tolist() == inside
    late = perturbed["imu_late", None]
    assert isinstance(late, Perturbed)
    assert 0 < len(late.rows) < len(dataset)


def test_video_is_not_read_again(trained_run: Path) -> None:
    dataset = load_checkpoint(trained_run / "checkpoints" / "best.ckpt").description.experiment.data.build("test", 0)
    plain = at_other_times(dataset, np.arange(len(dataset)), 0.0)
    assert plain is not None
    assert plain[0, 3].video_THWC.numel() == 0
    assert torch.equal(plain[0, 3].imu_LC, dataset[0, 3].imu_LC)


def test_what_is_impossible_has_a_reason(perturbed: dict[tuple[str, str | None], Perturbed | NotPerturbed]) -> None:
    one = perturbed["sensors_turned", None]
    assert isinstance(one, NotPerturbed)
    assert one.reason == "no sensor has channels of all three axes"
    made = MadeDataset(made_windows(subjects=1))
    assert rows_inside(made, 0.1) is None
    assert at_other_times(made, np.arange(2), 0.1) is None


@pytest.mark.long
def test_an_evaluation_reports_all_perturbations(run: Path) -> None:
    result = evaluate(run, robustness=True)
    found = cast("dict[str, Any]", result.metrics["robustness"])
    assert [one["name"] for one in found["perturbations"]] == [
        *("sensor_missing", "sensor_missing", "sensor_missing_mean", "sensor_missing_worst"),
        *("imu_late", "imu_early", "half_rate"),
    ]
    assert list(found["reason"]) == ["sensors_turned"]
    recorded = found["perturbations"][-1]["clean"]
    for name in ("retrieval", "retrieval_within_subject"):
        measured = cast("dict[str, Any]", result.metrics[name])["imu_to_video"]
        assert recorded[name]["imu_to_video"] == {
            figure: pytest.approx(measured[figure]) for figure in ("r_at_1", "mrr")
        }
    probe = cast("dict[str, Any]", result.metrics["probe"])
    assert recorded["probe"]["macro_f1"] == pytest.approx(probe["linear"]["imu"][0]["all"]["macro_f1"])
    assert undocumented({"robustness": cast("Any", found)}, ()) == []
    assert "Robustness" in result.report.read_text()
    alone = evaluate(run, robustness=True, overrides=["data.test_subjects=05"]).metrics
    single = cast("dict[str, Any]", alone["robustness"])["perturbations"][-1]
    assert single["perturbed"]["probe"]["macro_f1"] is not None
