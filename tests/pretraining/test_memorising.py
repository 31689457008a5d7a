from __future__ import annotations

import logging
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from support.small_run import train
from support.small_training import small
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from revalexo_clip.pretraining.memorising import MemorisingWarning

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")

FALLING, FLAT = (2.0, 1.5, 1.0, 0.7, 0.5, 0.4, 0.3), (2.0,) * 7


class Scripted(pl.LightningModule):
    """Logs given losses, one pair an epoch."""

    def __init__(self, train: tuple[float, ...], val: tuple[float, ...]) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.train_losses, self.val_losses = train, val

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("train/loss", self.train_losses[self.current_epoch], on_step=True, on_epoch=True)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/loss", self.val_losses[self.current_epoch])

    def configure_optimizers(self) -> None:
        return None


def warned_after(train: tuple[float, ...], val: tuple[float, ...], caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings of a training with these losses, in which the callback is saved and restored each epoch."""
    caplog.clear()
    state: dict[str, object] = {}
    for epochs in range(1, len(train) + 1):
        callback = MemorisingWarning()
        if state:
            callback.load_state_dict(state)
        module = Scripted(train[epochs - 1 :], val[epochs - 1 :])
        loader = DataLoader(TensorDataset(torch.zeros(2)))
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=False,
            callbacks=[callback],
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(module, loader, loader)
        state = callback.state_dict()
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_validation_loss_that_rises_from_the_start_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    (said,) = warned_after(FALLING, (2.0, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6), caplog)
    assert "the training loss fell from 2.000 to 0.700, and the validation loss rose from 2.000 to 2.300" in said
    assert "imu_augment" in said


@pytest.mark.parametrize(
    ("train", "val"),
    [
        (FALLING, FLAT),
        (FLAT, (2.0, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6)),
        (FALLING, (2.0, 1.9, 2.2, 2.3, 2.4, 2.5, 2.6)),
        (FALLING[:3], (2.0, 2.1, 2.2)),
    ],
    ids=["flat", "training does not fall", "learned at first", "too early"],
)
def test_other_trainings_are_left_alone(
    train: tuple[float, ...], val: tuple[float, ...], caplog: pytest.LogCaptureFixture
) -> None:
    assert warned_after(train, val, caplog) == []


@pytest.mark.long
def test_a_pretraining_saves_the_state_of_the_warning(written: Path, tmp_path: Path) -> None:
    run = train(small(written), tmp_path)
    content = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    state = content["callbacks"]["memorising_warning"]
    assert (state["epochs"], state["done"]) == (0, False)
    assert all(loss > 0 for loss in state["first"])
