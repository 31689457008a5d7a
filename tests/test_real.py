"""The experiments of this project on real recordings: pretrain, evaluate, export."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from support.small_process import call
from support.tiny_dataset import revalexo

from revalexo_clip import load_encoder
from revalexo_clip.core.errors import DataError

EXPERIMENTS = Path(__file__).parents[1] / "experiments"

SMALLER = {
    "x3d_xs": {"data.crop": 96, "data.short_side": 96},
    "mvit_base": {"data.frames": 4, "data.crop": 64, "data.short_side": 64, "micro_batch": 2},
}
"""Smaller inputs of the encoders, to be fast."""


def overrides(root: Path, name: str) -> list[str]:
    """Overrides for three recordings of one IMU, and for smaller sizes."""
    fields = {
        "data.root": root,
        "data.train_subjects": "GoPro1,GoPro2",
        "data.val_subjects": "Neon1",
        "data.channels": "acc_Head_*,gyro_Head_*",
        "data.min_duration": 4,
        "data.windows_per_clip": 2,
        "data.workers": 0,
        "batch_size": 4,
        "trainer.max_epochs": 1,
        "video.weights": "none",
        "imu.hidden": 32,
        **SMALLER[name],
    }
    return [part for path, value in fields.items() for part in ("--set", f"{path}={value}")]


def run(*arguments: str | Path, cwd: Path) -> str:
    finished = call(*arguments, cwd=cwd)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.parametrize("name", ["x3d_xs", pytest.param("mvit_base", marks=pytest.mark.long)])
def test_an_experiment_trains_evaluates_and_exports_on_real_recordings(name: str, real: Path, tmp_path: Path) -> None:
    root = shutil.copytree(real, tmp_path / "dataset")  # a copy, because it is packed in place
    run("pretrain", EXPERIMENTS / f"{name}.py", *overrides(root, name), cwd=tmp_path)
    metrics = json.loads(run("evaluate", "--allow-seen-subjects", "--json", cwd=tmp_path))
    assert metrics["windows"] == metrics["retrieval"]["gallery_size"] == 6
    assert metrics["seen"] == {"train": [], "val": ["Neon1"]}
    run("export-encoder", "--modality", "imu", "--out", "imu", cwd=tmp_path)
    run("export-encoder", "--modality", "video", "--out", "video", cwd=tmp_path)
    encoder = load_encoder(tmp_path / "imu")
    channels = [f"{kind}_Head_{axis}" for kind in ("acc", "gyro") for axis in "xyz"]
    with torch.no_grad():
        features_BD = encoder({channel: torch.randn(120).numpy() for channel in channels})
    assert features_BD.shape == (1, encoder.description.embed_dim)
    assert features_BD.isfinite().all()
    assert encoder.subjects == {"train": ("GoPro1", "GoPro2"), "val": ("Neon1",)}
    assert encoder.description.origin.metrics is not None
    assert encoder.description.origin.metrics["retrieval"] == metrics["retrieval"]
    shutil.rmtree(tmp_path)  # checkpoints of hundreds of megabytes


def test_a_recording_at_the_sensors_own_rate_is_placed_by_its_clock(real: Path, tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    shutil.copytree(real, root, copy_function=shutil.copyfile)
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755)
    shutil.copyfile(real.parent / "gopro_hero7_imu.csv", root / "imu/GoPro1/0001.csv")  # 198 Hz, from 0.06 s on
    fields = {"train_subjects": ("GoPro2",), "val_subjects": ("GoPro1",), "min_duration": 4.0}
    at_60_hz = revalexo(real, channels=("acc_Head_*", "gyro_Head_*"), **fields).labelled("val", seed=0)
    clocked = revalexo(root, channels=("acc_*", "gyro_*"), time="time", **fields).labelled("val", seed=0)
    expected = {float(sample.start): sample.imu_LC for sample in (at_60_hz[0, i] for i in range(len(at_60_hz)))}
    found = {float(sample.start): sample.imu_LC for sample in (clocked[0, i] for i in range(len(clocked)))}
    assert sorted(found) == sorted(expected)[1:], "the window at 0 s would begin before the first row"
    for start, imu_LC in found.items():
        assert (imu_LC - expected[start]).abs().mean() < 0.01 * expected[start].std()
    with pytest.raises(DataError, match=r"column time says 198\.45 Hz \[s\], not 60 Hz"):
        revalexo(root, channels=("acc_*", "gyro_*"), **fields).labelled("val", seed=0)
