from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from revalexo_clip.training.callbacks import data_wait
from revalexo_clip.training.callbacks.data_wait import DataWaitMonitor

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")


class Clock:
    """A clock that only advances during sleeps, so that other work on the machine has no effect."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


clock = Clock()


class Slow(IterableDataset[torch.Tensor]):
    """Four numbers that take some time to load."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[torch.Tensor]:
        for _ in range(4):
            clock.sleep(self.seconds)
            yield torch.zeros(1)


class Work(pl.LightningModule):
    """Takes some time for each training step."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        clock.sleep(self.seconds)
        loss: torch.Tensor = self.layer(batch).sum()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def waiting(loading: float, training: float, folder: Path) -> float:
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[DataWaitMonitor(brief=0)],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_wait, "time", clock)
        trainer.fit(Work(training), DataLoader(Slow(loading), batch_size=None))
    return trainer.callback_metrics["train/waiting"].item()


def test_the_share_of_loading_is_logged_with_a_message_if_it_is_large(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert waiting(0.06, 0.02, tmp_path) == pytest.approx(0.75, abs=0.15)
    (said,) = [record.getMessage() for record in caplog.records if record.name == "revalexo_clip"]
    assert said.endswith("was spent waiting for data; raise data.workers, or see docs/performance.md")


def test_a_training_that_waits_for_nothing_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert waiting(0, 0.05, tmp_path) < 0.1
    assert [record for record in caplog.records if record.name == "revalexo_clip"] == []
