"""Fully or partly frozen encoders in real runs."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from support.small_process import succeed
from support.small_run import built_in_experiment, train
from support.small_training import DESCENT, logged, small, weights
from torch import Tensor

from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")


def untrained(experiment: PretrainExperiment) -> dict[str, Tensor]:
    """Return the initial weights of a run of the experiment."""
    windows = experiment.data.build("train", experiment.seed)
    pl.seed_everything(experiment.seed, verbose=False)
    model = experiment.build_model(windows.imu_spec, windows.video_spec)
    return {f"model.{name}": tensor for name, tensor in model.state_dict().items()}


@pytest.mark.long
def test_frozen_blocks_keep_weights_and_statistics_through_a_run(distinct: Path, tmp_path: Path) -> None:
    experiment = built_in_experiment(
        distinct,
        imu={"type": "DeepConvLSTM", "maps": 4, "hidden": 8, "frozen": "all"},
        video={"type": "X3D", "weights": None, "frozen": 6},
        batch_size=8,
        micro_batch=5,
    )
    before = untrained(experiment)
    run = train(experiment, tmp_path)
    after = weights(run / "checkpoints/last.ckpt")
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {
        *(f"model.video.projection.{kind}" for kind in ("weight", "bias")),
        *(
            f"model.{head}_head.{layer}.{kind}"
            for head in ("imu", "video")
            for layer in ("hidden", "output")
            for kind in ("weight", "bias")
        ),
    }
    grouped = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["optimizer_states"][0]["state"]
    assert "X3D (3.0 M parameters, 0.0 M of them trained)" in (run / "log.txt").read_text()
    assert len(grouped) == len(changed) + 1, "those, and the temperature"


def test_more_blocks_than_an_encoder_has_are_refused_before_anything_is_written(distinct: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Squares: frozen is 2, but the encoder has a single block"):
        train(small(distinct, "video.frozen=2"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_two_processes_train_and_average_unfrozen_parts_as_one_process_does(distinct: Path, tmp_path: Path) -> None:
    overrides = (f"data.root={distinct}", "imu.frozen=all", "micro_batch=7", "batch_size=20", "trainer.average=0.5")
    sets = [argument for override in overrides for argument in ("--set", override)]
    succeed("pretrain", DESCENT, "--devices", "2", *sets, cwd=tmp_path)
    (tmp_path / "alone").mkdir()
    alone = train(small(distinct, *overrides[1:], file=DESCENT), tmp_path / "alone")
    shared = tmp_path / "runs/latest"
    assert logged(shared, "val/loss") == pytest.approx(logged(alone, "val/loss"), rel=1e-4)
    for kind in ("state_dict", "training_weights"):
        found, expected = (
            torch.load(run / "checkpoints/last.ckpt", weights_only=True)[kind] for run in (shared, alone)
        )
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
