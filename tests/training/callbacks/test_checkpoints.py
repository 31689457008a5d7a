from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from revalexo_clip.runs.checkpoint import AtomicCheckpointIO
from revalexo_clip.runs.resume_state import BEST_CHECKPOINTS
from revalexo_clip.training.callbacks.checkpoints import BestCheckpoints, LastCheckpoint


class OneWindow(Dataset[Tensor]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Tensor:
        return torch.zeros(1)


class Scripted(pl.LightningModule):
    """A training whose validation losses are known beforehand."""

    def __init__(self, losses: Sequence[float]) -> None:
        super().__init__()
        self.losses = losses
        self.weight = nn.Parameter(torch.zeros(()))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.weight * 1.0

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/loss", self.losses[self.current_epoch])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


class AfterEachEpoch(pl.Callback):
    """Records the epochs of `best.ckpt` and `last.ckpt` at the start of each epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[tuple[int, int]] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch:
            self.seen.append((epoch_of(self.folder / "best.ckpt"), epoch_of(self.folder / "last.ckpt")))


def epoch_of(path: Path) -> int:
    epoch: int = torch.load(path, weights_only=True)["epoch"]
    return epoch


def fit(folder: Path, losses: Sequence[float]) -> list[tuple[int, int]]:
    """Train one epoch per loss; return the best and the last epoch after each epoch except the final one."""
    watching = AfterEachEpoch(folder)
    trainer = pl.Trainer(
        max_epochs=len(losses),
        accelerator="cpu",
        callbacks=[BestCheckpoints(folder), LastCheckpoint(folder), watching],
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(Scripted(losses), DataLoader(OneWindow()), DataLoader(OneWindow()))
    return watching.seen


pytestmark = pytest.mark.filterwarnings("ignore:::lightning")


def names(folder: Path) -> Iterator[str]:
    return (path.name for path in folder.iterdir())


def test_kept_are_the_best_three_the_best_of_them_and_the_last(tmp_path: Path) -> None:
    seen = fit(tmp_path, [3.0, 1.0, 4.0, 1.5, 0.9, 2.0])
    assert seen == [(0, 0), (1, 1), (1, 2), (1, 3), (4, 4)]
    assert set(names(tmp_path)) == {
        *("epoch=001-loss=1.0000.ckpt", "epoch=003-loss=1.5000.ckpt", "epoch=004-loss=0.9000.ckpt"),
        *("best.ckpt", "last.ckpt", "previous.ckpt"),
    }
    kept = [epoch_of(tmp_path / f"{name}.ckpt") for name in ("best", "last", "previous")]
    assert kept == [4, 5, 4]


def test_the_best_is_no_second_copy_on_disk(tmp_path: Path) -> None:
    fit(tmp_path, [2.0, 1.0])
    assert (tmp_path / "best.ckpt").samefile(tmp_path / "epoch=001-loss=1.0000.ckpt")


def test_the_last_knows_which_was_the_best(tmp_path: Path) -> None:
    fit(tmp_path, [2.0, 1.0])
    callbacks = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]
    assert Path(callbacks[BEST_CHECKPOINTS]["best_model_path"]).name == "epoch=001-loss=1.0000.ckpt"


def test_a_nan_loss_is_never_the_best_if_there_is_a_finite_one(tmp_path: Path) -> None:
    fit(tmp_path, [math.nan, 2.0, math.nan, math.nan])
    assert epoch_of(tmp_path / "best.ckpt") == 1
    assert epoch_of(tmp_path / "last.ckpt") == 3
