from __future__ import annotations

from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import lightning.pytorch as pl
import pytest
import torch
from support.small_run import train
from support.small_training import logged, small
from torch import Tensor, nn

from revalexo_clip.core.errors import UserError
from revalexo_clip.core.types import Batch
from revalexo_clip.pretraining.module import ContrastiveModule
from revalexo_clip.training import base_module
from revalexo_clip.training.base_module import TrainingModule
from revalexo_clip.training.callbacks import checkpoints
from revalexo_clip.training.callbacks.checkpoints import LastCheckpoint
from revalexo_clip.training.drawn_batches import TrainingBatch
from revalexo_clip.training.outcomes import FLAGS, Ballot, HostCopy, Outcome, PendingStep, WeightsBefore

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")

CPU = torch.device("cpu")


def test_what_processes_ask_for_is_added_up() -> None:
    ballots = Ballot(), Ballot(save=True, signal=2), Ballot(unreadable=True, signal=15)
    encoded = [ballot.encode(CPU) for ballot in ballots]
    assert all(flags_F.shape == (FLAGS,) for flags_F in encoded)
    assert Ballot.decode(torch.stack(encoded).sum(0).tolist()) == Ballot(unreadable=True, save=True, signal=15)
    assert Ballot.decode(encoded[0].tolist()) == Ballot()
    assert HostCopy(torch.tensor([1.0, 0.5])).read() == [1.0, 0.5]


def test_weights_are_restored_in_place() -> None:
    weights: list[Tensor] = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(()))]
    before = WeightsBefore()
    before.restore()
    for number in (1.0, 2.0):
        before.keep(weights)
        with torch.no_grad():
            for weight in weights:
                weight.add_(number)
    before.restore()
    assert [weight.tolist() for weight in weights] == [[2.0, 2.0], 1.0]


@pytest.fixture
def diverging(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """The weights of the module when a run ends because the gradient of its fourth step is not finite."""
    found: list[dict[str, Tensor]] = []
    compute, error = ContrastiveModule.compute_gradients, ContrastiveModule.divergence_error

    def spoil(self: ContrastiveModule, batch: TrainingBatch) -> PendingStep:
        step = compute(self, batch)
        if self.global_step == 3:
            gradient = next(self.parameters()).grad
            assert gradient is not None
            gradient.fill_(float("nan"))
        return step

    def note(self: ContrastiveModule, step: Outcome, loss: float, norm: float) -> UserError:
        found.append({name: weight.detach().clone() for name, weight in self.named_parameters()})
        return error(self, step, loss, norm)

    monkeypatch.setattr(ContrastiveModule, "compute_gradients", spoil)
    monkeypatch.setattr(ContrastiveModule, "divergence_error", note)
    return found


@pytest.mark.long
def test_a_step_that_is_known_to_be_unsound_one_step_later_changes_neither_weights_nor_message(
    written: Path, tmp_path: Path, diverging: list[dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = []
    for lag in (0, 1):
        monkeypatch.setattr(TrainingModule, "on_train_start", lambda self, lag=lag: setattr(self, "lag", lag))
        with pytest.raises(UserError) as raised:
            train(small(written, "trainer.log_every=20", f"name=lag{lag}"), tmp_path)
        messages.append(str(raised.value))
    assert messages[0].startswith("the training diverged: in epoch 1, step 4, the loss is ")
    assert "all embeddings are finite; the windows of the batch are Subject0" in messages[0]
    assert messages[1] == messages[0]
    at_once, later = diverging
    assert all(torch.equal(weight, later[name]) for name, weight in at_once.items())


def test_no_checkpoint_has_a_step_that_is_not_known_to_be_sound(
    written: Path, tmp_path: Path, diverging: list[dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrainingModule, "on_train_start", lambda self: setattr(self, "lag", 1))
    with pytest.raises(UserError, match="step 4"):
        train(small(written, "trainer.log_every=20", "trainer.checkpoint_minutes=0"), tmp_path)
    (checkpoint,) = tmp_path.glob("runs/small/*/checkpoints/last.ckpt")
    content = torch.load(checkpoint, weights_only=True)
    assert content["global_step"] == 3
    assert all(value.isfinite().all() for value in content["state_dict"].values())


@pytest.mark.long
@pytest.mark.parametrize(
    ("way", "saved_at"),
    [
        pytest.param((1, 0, 20), 2, id="a single process"),
        pytest.param((1, 1, 3), 2, id="a single process that reads later"),
        pytest.param((2, 0, 20), 2, id="an exchange"),
        pytest.param((2, 1, 20), 3, id="an exchange that is read later"),
        pytest.param((2, 1, 3), 3, id="two outcomes are read before the next step"),
    ],
)
def test_a_checkpoint_that_falls_due_in_the_middle_of_a_step_is_saved_before_a_next_one(
    written: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: tuple[int, int, int],
    saved_at: int,
) -> None:
    """The clock stands still, except for an hour within the second step.

    A way is the number of processes, that of steps by which outcomes are read later, and that between two rows.
    """
    processes, lag, log_every = way
    now, saved, compute = [0.0], list[int](), ContrastiveModule.compute_gradients

    def pass_time(self: ContrastiveModule, batch: TrainingBatch) -> PendingStep:
        now[0] += 3600 * (self.global_step == 1)
        return compute(self, batch)

    def note(self: LastCheckpoint, trainer: pl.Trainer) -> None:
        saved.append(trainer.global_step)
        save(self, trainer)

    save = LastCheckpoint._save
    monkeypatch.setattr(LastCheckpoint, "_save", note)
    monkeypatch.setattr(ContrastiveModule, "compute_gradients", pass_time)
    monkeypatch.setattr(TrainingModule, "on_train_start", lambda self: setattr(self, "lag", lag))
    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(checkpoints, "world_size", lambda: processes)
    options = ("trainer.checkpoint_minutes=10", "trainer.max_epochs=1", f"trainer.log_every={log_every}")
    train(small(written, *options), tmp_path)
    assert saved[0] == saved_at
    assert len(saved) == 2, "the other one is that of the end of the epoch"


def test_what_is_collected_of_a_validation_batch_does_not_keep_the_memory_in_which_it_arrived() -> None:
    memory = torch.zeros(4)
    module = SimpleNamespace(collect=lambda batch: [memory[:2]], _collected=[])
    TrainingModule.validation_step(cast("TrainingModule", module), cast("Batch", None), 0)
    memory.fill_(1)
    assert [part.tolist() for part in module._collected[0]] == [[0.0, 0.0]]


@pytest.mark.long
def test_a_step_that_the_gradient_scaler_skips_does_not_hide_the_norms_of_the_others(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = deque([1.0, float("inf"), 3.0])
    monkeypatch.setattr(base_module, "clip_gradient", lambda *_: torch.tensor(norms.popleft() if norms else 2.0))
    monkeypatch.setattr(base_module, "gradient_scale", lambda *_: torch.tensor(1024.0))
    run = train(small(written, "trainer.log_every=3", "trainer.max_epochs=1"), tmp_path)
    assert logged(run, "train/gradient_norm")[0] == 2.0
