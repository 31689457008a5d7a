"""Freezing: the blocks of the encoder that are trained in each epoch."""

from __future__ import annotations

from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from rich.console import Console
from support.small_finetuning import finetuning, train_classifier
from support.small_training import weights
from torch import Tensor

from revalexo_clip.config.finetuning import Freezing
from revalexo_clip.finetuning.build import build_finetune_setup
from revalexo_clip.finetuning.module import ClassifierModule
from revalexo_clip.finetuning.run import Finetuning

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")


@pytest.mark.long
def test_a_frozen_encoder_keeps_weights_and_statistics(distinct: Path, trained_run: Path, tmp_path: Path) -> None:
    fields = {"modality": "both", "freezing": {"epochs": "all"}, "fusion": "features"}
    experiment = finetuning(distinct, trained_run, **fields)
    before = build_finetune_setup(experiment).model.state_dict()
    after = weights(train_classifier(experiment, tmp_path) / "checkpoints/last.ckpt")
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[f"model.{name}"])}
    assert changed == {f"{layer}.{kind}" for layer in ("norm", "heads.0.shared.0", "heads.0.heads") for kind in KINDS}


KINDS = ("weight", "bias")


@pytest.mark.parametrize(
    ("freezing", "num_frozen_blocks"),
    [
        (Freezing(), [0, 0, 0, 0, 0, 0]),
        (Freezing(epochs="all"), [3, 3, 3, 3, 3, 3]),
        (Freezing(epochs=2), [3, 3, 0, 0, 0, 0]),
        (Freezing(epochs=1, every=2), [3, 2, 2, 1, 1, 0]),
        (Freezing(every=1), [2, 1, 0, 0, 0, 0]),
    ],
)
def test_blocks_are_unfrozen_starting_at_the_output(freezing: Freezing, num_frozen_blocks: list[int]) -> None:
    assert [freezing.num_frozen_blocks(epoch, 3) for epoch in range(6)] == num_frozen_blocks


class Snapshots(pl.Callback):
    """Keeps the initial weights of a training, and those at the end of each epoch."""

    def __init__(self, seen: list[dict[str, Tensor]]) -> None:
        self.seen = seen

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.on_train_epoch_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, ClassifierModule)
        self.seen.append({name: tensor.clone() for name, tensor in pl_module.model.state_dict().items()})


@dataclass(frozen=True)
class Watched(Finetuning):
    seen: list[dict[str, Tensor]] = field(default_factory=list)

    def callbacks(self) -> list[pl.Callback]:
        return [Snapshots(self.seen)]


@pytest.mark.long
def test_layers_change_once_they_are_unfrozen(distinct: Path, trained_run: Path, tmp_path: Path) -> None:
    """DeepConvLSTM has six blocks. First only the heads are trained, then one more block in each epoch."""
    experiment = finetuning(
        distinct,
        trained_run,
        freezing={"epochs": 1, "every": 1},
        trainer={"max_epochs": 8, "accelerator": "cpu"},
        optim={"type": "Adam", "lr": 0.01},
    )
    seen: list[dict[str, Tensor]] = []
    with chdir(tmp_path):
        Watched(experiment, None, Console(stderr=True), seen=seen).run()
    names = ["conv1", "conv2", "conv3", "conv4", "lstm", "feature_projector"]
    for epoch in range(8):
        before, after = seen[epoch], seen[epoch + 1]
        moved = [
            name
            for name in names
            if any(key.startswith(f"imu.{name}.") and not torch.equal(before[key], after[key]) for key in before)
        ]
        assert moved == names[max(6 - epoch, 0) :]
