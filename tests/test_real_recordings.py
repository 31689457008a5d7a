"""The benchmark on real recordings of a sensor on the camera: axes of the devices, and that it runs through."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from support.small_process import call

from revalexo_clip.config.loading import load_experiment
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.data import RevalExo

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module; `benchmarks/` is no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import real_recordings

    return real_recordings


def test_axes_of_devices_are_rotations_that_keep_up_above(benchmark: ModuleType) -> None:
    assert set(benchmark.AXES) == {"GoPro1", "GoPro2", "Neon1"}
    for matrix in benchmark.AXES.values():
        assert np.allclose(matrix @ matrix.T, np.eye(3))
        assert np.linalg.det(matrix) == pytest.approx(1.0)
    back, ahead = np.array([0.0, 1.0, 0.0]), np.array([0.0, 1.0, 0.0])
    assert np.allclose(benchmark.AXES["GoPro1"] @ back, [-1, 0, 0])
    in_camera = benchmark.AXES["Neon1"] @ ahead
    assert in_camera[2] == pytest.approx(np.sin(np.radians(12))), "Neon's camera looks down: ahead is above its axis"
    scene = np.array([0.0, -np.sin(np.radians(-102)), np.cos(np.radians(-102))])  # z of the camera in axes of the IMU
    assert np.allclose(benchmark.AXES["Neon1"] @ scene, [1, 0, 0])


def test_turns_are_signed_as_the_motion_that_they_cause(benchmark: ModuleType) -> None:
    left, down = torch.zeros(1, 4, 6), torch.zeros(1, 4, 6)
    left[..., 5], down[..., 4] = 1.0, 1.0
    assert torch.equal(benchmark.turning(left), torch.tensor([[[1.0, 0.0]]]).expand(1, 2, 2))
    assert torch.equal(benchmark.turning(down), torch.tensor([[[0.0, -1.0]]]).expand(1, 2, 2))


def test_runs_with_settings_have_names_that_are_allowed(benchmark: ModuleType) -> None:
    assert benchmark.run_name(1, ["data.window=1", 'imu_augment=[{"type": "Scale"}]']) == (
        "real-data.window_1-imu_augment_type_Scale_-1"
    )


def test_the_recipe_takes_the_settings(benchmark: ModuleType) -> None:
    experiment = load_experiment(str(ROOT / benchmark.RECIPE), benchmark.SETTINGS)
    assert isinstance(experiment.data, RevalExo)
    assert experiment.data.channels == ("acc_Camera_*", "gyro_Camera_*")
    assert experiment.data.frames == 0
    assert experiment.video is not None
    assert not experiment.video.takes_frames
    kinds = [f"{kind}_Camera_{axis}" for kind in ("acc", "gyro") for axis in "xyz"]
    imu_spec = ImuSpec(tuple(kinds), ("m/s^2",) * 3 + ("rad/s",) * 3, rate=60.0, window=2.0)
    assert experiment.imu.build(imu_spec, 8)(torch.randn(2, 120, 6)).shape == (2, experiment.imu.feature_dim(8))


@pytest.mark.long
def test_the_benchmark_runs_through(benchmark: ModuleType, real: Path, tmp_path: Path) -> None:
    shape = ("--world", "2", "--camera-imu", "--stabilised", "--subjects", "3", "--clips", "2")
    short = ("data.train_subjects=01,02", "data.val_subjects=03", "trainer.max_epochs=1", "data.workers=0", "seed=5")
    settings = (f"data.root={tmp_path / 'data'}", "name=short", "batch_size=24", *short, *benchmark.SETTINGS)
    for arguments in (
        ("synthesize", str(tmp_path / "data"), *shape),
        ("pretrain", str(ROOT / benchmark.RECIPE), *(part for one in settings for part in ("--set", one))),
    ):
        finished = call(*arguments, cwd=tmp_path)
        assert finished.returncode == 0, finished.stderr
    runs = [tmp_path / "runs" / "short"]
    data, embeds = benchmark.methods(runs)
    assert list(embeds) == ["correlation", "seed 5"]
    (clip, _) = benchmark.read_clips(tmp_path / "data", ("03",), data)
    assert benchmark.tested(embeds["correlation"], clip, data.window).p < 0.05, "axes and signs of the simulation"
    root = benchmark.in_camera_axes(real, tmp_path / "real")
    for found in benchmark.read_clips(root, tuple(benchmark.AXES), data):
        assert found.imu_GLC[..., 2].mean() > 7.0, "gravity is along the upward axis"
    matches, turns = benchmark.of_real(root, runs)
    assert matches.row_count == turns.row_count == 6
