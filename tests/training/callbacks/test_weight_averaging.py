from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from support.small_run import train
from support.small_training import logged, small, weights
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from revalexo_clip.core.types import Batch
from revalexo_clip.data.dataset import collate
from revalexo_clip.losses import Overlap
from revalexo_clip.runs.checkpoint import AtomicCheckpointIO, load_checkpoint
from revalexo_clip.runs.resume_state import TRAINING_WEIGHTS
from revalexo_clip.training.callbacks.checkpoints import LastCheckpoint
from revalexo_clip.training.callbacks.weight_averaging import Averaging

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")

STEPS_PER_EPOCH = 15


class Points(Dataset[Tensor]):
    def __len__(self) -> int:
        return 4 * STEPS_PER_EPOCH

    def __getitem__(self, index: int) -> Tensor:
        return torch.randn(3, generator=torch.Generator().manual_seed(index))


class Fit(pl.LightningModule):
    """A module with weights, a constant and running statistics that change in every step."""

    constant: Tensor

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
        self.register_buffer("constant", torch.tensor([0.1, 0.7]))
        self.after_steps: list[dict[str, Tensor]] = []
        self.validated: list[dict[str, Tensor]] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss: Tensor = (self.net(batch) - batch.sum(dim=1, keepdim=True)).square().mean()
        return loss

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        self.after_steps.append(self.copied())

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        pass

    def on_validation_epoch_end(self) -> None:
        self.validated.append(self.copied())

    def copied(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self.state_dict().items()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


class Tied(Fit):
    """A module with one layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.again = self.net[0]


def fit(folder: Path, epochs: int, average: float | None, resume: Path | None = None, kind: type[Fit] = Fit) -> Fit:
    """Train; the checkpoint is `folder / "last.ckpt"`."""
    module = kind()
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[*([] if average is None else [Averaging(average)]), LastCheckpoint(folder)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[AtomicCheckpointIO()],
        num_sanity_val_steps=0,
    )
    points = DataLoader(Points(), batch_size=4)
    trainer.fit(module, points, points, ckpt_path=resume)
    return module


def plain_average(states: list[dict[str, Tensor]], decay: float, first: dict[str, Tensor]) -> dict[str, Tensor]:
    """Compute the average of the states in a plain way; counts are those of the last state."""
    average = {name: tensor.double().numpy() for name, tensor in first.items()}
    for step, state in enumerate(states, start=1):
        now = min(decay, step / (step + 9))
        for name, tensor in state.items():
            average[name] = now * average[name] + (1 - now) * tensor.double().numpy()
    counts = {name: tensor.double().numpy() for name, tensor in states[-1].items() if not tensor.is_floating_point()}
    return {name: torch.from_numpy(np.array(value)) for name, value in (average | counts).items()}


@pytest.mark.parametrize("decay", [0.6, 0.999])
def test_checkpoints_and_validation_have_the_average_over_all_steps(tmp_path: Path, decay: float) -> None:
    module = fit(tmp_path, 2, decay)
    assert len(module.after_steps) == 2 * STEPS_PER_EPOCH
    saved = weights(tmp_path / "last.ckpt")
    for epoch, seen in enumerate(module.validated, start=1):
        expected = plain_average(module.after_steps[: epoch * STEPS_PER_EPOCH], decay, Fit().state_dict())
        found = {name: tensor.double() for name, tensor in seen.items()}
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(tensor, saved[name]) for name, tensor in module.validated[-1].items())
    assert torch.equal(saved["constant"], torch.tensor([0.1, 0.7]))


@pytest.mark.parametrize("kind", [Fit, Tied])
def test_training_does_not_notice_that_it_is_averaged(tmp_path: Path, kind: type[Fit]) -> None:
    averaged, plain = fit(tmp_path, 2, 0.9, kind=kind), fit(tmp_path, 2, None, kind=kind)
    for state, expected in zip(averaged.after_steps, plain.after_steps, strict=True):
        assert all(torch.equal(tensor, expected[name]) for name, tensor in state.items())
    assert not torch.equal(averaged.validated[-1]["net.0.weight"], plain.validated[-1]["net.0.weight"])


@pytest.mark.parametrize("kind", [Fit, Tied])
def test_a_resumed_run_continues_both_exactly(tmp_path: Path, kind: type[Fit]) -> None:
    whole, _, resumed = (
        fit(tmp_path / "whole", 3, 0.9, kind=kind),
        fit(tmp_path / "part", 1, 0.9, kind=kind),
        fit(tmp_path / "resumed", 3, 0.9, resume=tmp_path / "part/last.ckpt", kind=kind),
    )
    assert len(resumed.after_steps) == 2 * STEPS_PER_EPOCH
    for state, expected in zip(resumed.after_steps, whole.after_steps[STEPS_PER_EPOCH:], strict=True):
        assert all(torch.equal(tensor, expected[name]) for name, tensor in state.items())
    saved, expected = weights(tmp_path / "resumed/last.ckpt"), weights(tmp_path / "whole/last.ckpt")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in saved.items())


class SaveInValidation(pl.Callback):
    """Saves a checkpoint during validation, when the weights are the averages, as after a signal."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.save_checkpoint(self.path)


def test_a_checkpoint_from_within_validation_is_like_any_other(tmp_path: Path) -> None:
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=[Averaging(0.9), SaveInValidation(tmp_path / "within.ckpt"), LastCheckpoint(tmp_path)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[AtomicCheckpointIO()],
    )
    points = DataLoader(Points(), batch_size=4)
    trainer.fit(Fit(), points, points)
    within, last = (torch.load(tmp_path / name, weights_only=True) for name in ("within.ckpt", "last.ckpt"))
    for kind in ("state_dict", TRAINING_WEIGHTS):
        assert all(torch.equal(tensor, last[kind][name]) for name, tensor in within[kind].items())
    assert not torch.equal(last["state_dict"]["net.0.weight"], last[TRAINING_WEIGHTS]["net.0.weight"])


@pytest.mark.long
def test_the_metrics_of_a_run_are_those_of_its_checkpoint(distinct: Path, tmp_path: Path) -> None:
    settings = ("trainer.max_epochs=2", "batch_size=8", "optim.lr=0.01")
    averaged = train(small(distinct, "trainer.average=0.9", *settings), tmp_path)
    plain = train(small(distinct, *settings), tmp_path)
    assert logged(averaged, "train/loss_step") == logged(plain, "train/loss_step")
    assert logged(averaged, "val/loss") != logged(plain, "val/loss")
    checkpoint = load_checkpoint(averaged / "checkpoints/last.ckpt")
    experiment = checkpoint.description.experiment
    dataset = experiment.data.build("val", experiment.seed)
    batch = collate([dataset[0, index] for index in range(len(dataset))])
    assert isinstance(batch, Batch)
    loss = experiment.loss.build()
    loss.load_state_dict({"log_scale": checkpoint.state["loss.log_scale"]})
    overlap = Overlap(batch.recording_B, batch.time_B, 2.0)
    assert len(dataset) <= experiment.batch_size, "one batch"
    with torch.no_grad():
        expected = loss(*checkpoint.build_model()(batch.imu_BLC, batch.video_BTHWC), overlap).item()
    assert logged(averaged, "val/loss")[-1] == pytest.approx(expected, rel=1e-5)
