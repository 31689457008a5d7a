"""The recommended recipe as a whole: aligned tokens, pooled scenes, frames against the movement around them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.small_process import succeed
from support.small_run import train
from support.small_training import logged, weights

from revalexo_clip.config.loading import load_experiment
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.pretraining.run import dry_run_pretraining
from revalexo_clip.runs.options import RunOptions

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")

RECIPE = Path(__file__).parents[2] / "experiments" / "motion.py"
SMALL = (
    *("data.train_subjects=01,02", "data.val_subjects=08", "data.test_subjects=05", "data.channels=acc_*"),
    *("data.min_duration=3", "data.windows_per_clip=4", "data.workers=0", "joint_augment=[]"),
    'imu_augment=[{"type": "Scale"}, {"type": "GaussianNoise"}]',
    *("imu.width=8", "imu.shared=0", "video.width=8", "video.color_width=8", "embed_dim=8", "tokens.count=6"),
    *("tokens.dim=4", "frame_tokens.dim=8", "frame_tokens.hidden=8", "batch_size=8", "optim.lr=0.003"),
    *("trainer.max_epochs=2", "trainer.accelerator=cpu", "trainer.gradient_clip=none"),
)
TERMS = ("aligned", "pooled", "frames")


def recipe(root: Path, *overrides: str) -> PretrainExperiment:
    return load_experiment(str(RECIPE), [f"data.root={root}", *SMALL, *overrides])


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def assert_alike(run: Path, other: Path) -> None:
    """Weights and logged losses are the same, up to the order of sums."""
    for metric in (
        "train/loss_epoch",
        "val/loss",
        *(f"{kind}/loss/{term}" for kind in ("train", "val") for term in TERMS),
    ):
        assert logged(run, metric) == pytest.approx(logged(other, metric), rel=1e-4)
    expected = weights(other / "checkpoints/last.ckpt")
    torch.testing.assert_close(weights(run / "checkpoints/last.ckpt"), expected, rtol=1e-3, atol=1e-5)


def test_a_dry_run_shows_motion_and_counts_every_head(distinct: Path) -> None:
    experiment = recipe(distinct)
    summary = dry_run_pretraining(experiment, RunOptions())
    assert summary.shapes["motion"] == (8, 60, 3, 4, 3)
    assert summary.shapes["video"] == (8, 4, 32, 32, 3)
    heads = 8 * (32 + 1) + 8 * 9 + 8 * (24 + 1) + 8 * 9  # pooled: IMU from 4 x 8 features, video from 3 x 8
    tokens = 2 * 4 * (8 + 1)
    frames = 8 * (16 + 1) + 8 * 9 + 8 * (8 + 1) + 8 * 9
    assert summary.parameters["projection heads"] == heads + tokens + frames
    assert summary.parameters["loss"] == len(TERMS)


@pytest.mark.slow
def test_it_learns_in_parts_as_at_once_and_every_term_is_logged(distinct: Path, tmp_path: Path) -> None:
    whole, parts = (train(recipe(distinct, f"micro_batch={size}"), folder(tmp_path / size)) for size in ("none", "3"))
    assert_alike(parts, whole)
    for term in TERMS:
        chance, loss = logged(whole, f"train/chance/{term}"), logged(whole, f"train/loss/{term}")
        assert len(chance) == len(loss) == 2
        assert all(value > 0 for value in (*chance, *loss))
    assert (whole / "checkpoints/best.ckpt").samefile(whole / "checkpoints/epoch=001.ckpt")


@pytest.mark.long
def test_two_processes_train_it_as_one_does(distinct: Path, tmp_path: Path) -> None:
    sets = [text for one in (f"data.root={distinct}", *SMALL) for text in ("--set", one)]
    succeed("pretrain", RECIPE, "--devices", "2", *sets, cwd=tmp_path)
    assert_alike(tmp_path / "runs/latest", train(recipe(distinct), folder(tmp_path / "alone")))
