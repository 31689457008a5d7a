from __future__ import annotations

import logging
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from support.tiny_dataset import revalexo

from revalexo_clip.augment import Augmentation
from revalexo_clip.core.errors import DataError
from revalexo_clip.data import UniformBatches
from revalexo_clip.data.batches import EpochSampler
from revalexo_clip.data.dataset import arrived
from revalexo_clip.data.windows import Ints
from revalexo_clip.training import workers as loader_processes
from revalexo_clip.training.drawn_batches import TrainingBatch
from revalexo_clip.training.loaders import PairsDataModule, evaluation_batch_size

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")


class Recorder(pl.LightningModule):
    """Records the start times of the windows of each training batch, without learning."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.batches: list[tuple[int, list[tuple[int, float]]]] = []

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        drawn = list(zip(batch.windows.window_B.tolist(), batch.windows.start_B.tolist(), strict=True))
        self.batches.append((self.current_epoch, drawn))

    def configure_optimizers(self) -> None:
        return None


def data(written: Path, workers: int, *, seed: int = 5, micro_batch: int | None = None) -> PairsDataModule:
    recordings = revalexo(written)
    train = recordings.build("train", seed)
    return PairsDataModule(
        train,
        recordings.build("val", seed),
        Augmentation((), (), (), imu_spec=train.imu_spec, video_spec=train.video_spec),
        batches=UniformBatches(),
        batch_size=12,
        micro_batch=micro_batch,
        seed=seed,
        workers=workers,
    )


def recorded(module: PairsDataModule) -> list[tuple[int, list[tuple[int, float]]]]:
    """Return the windows that two epochs of training load."""
    recorder = Recorder()
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        use_distributed_sampler=False,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(recorder, datamodule=module)
    return recorder.batches


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_each_epoch_of_a_training_draws_windows_of_its_own_whatever_the_number_of_workers(written: Path) -> None:
    alone = recorded(data(written, workers=0))
    first, second = ([batch for epoch, batch in alone if epoch == wanted] for wanted in (0, 1))
    assert [len(batch) for batch in (*first, *second)] == [12] * 6
    starts = [{start for batch in batches for _, start in batch} for batches in (first, second)]
    assert len(starts[0]) == len(starts[1]) == 36
    assert starts[0].isdisjoint(starts[1])
    assert [window for batch in first for window, _ in batch] != [window for batch in second for window, _ in batch]
    assert recorded(data(written, workers=2)) == alone  # they persist from one epoch to the next
    assert recorded(data(written, workers=0)) == alone
    assert recorded(data(written, workers=0, seed=6)) != alone


@pytest.mark.parametrize(("micro_batch", "sizes"), [(None, [10]), (4, [4, 4, 2])])
def test_validation_loads_every_window_once_and_no_more_at_a_time_than_are_encoded(
    written: Path, micro_batch: int | None, sizes: list[int]
) -> None:
    batches = [arrived(batch) for batch in data(written, workers=0, micro_batch=micro_batch).val_dataloader()]
    assert [len(batch.window_B) for batch in batches] == sizes
    assert torch.cat([batch.window_B for batch in batches]).tolist() == list(range(10))


@pytest.mark.parametrize(
    ("batch_size", "micro_batch", "expected"), [(4096, None, 64), (12, None, 12), (4096, 8, 8), (4096, 128, 128)]
)
def test_evaluation_encodes_no_contrastive_batch_at_once(
    batch_size: int, micro_batch: int | None, expected: int
) -> None:
    assert evaluation_batch_size(batch_size, micro_batch) == expected


def test_the_steps_of_an_epoch_are_counted_once(written: Path) -> None:
    drawn: list[int] = []
    module = data(written, 0)
    compose = module.compose

    def counted(epoch: int, rng: np.random.Generator) -> Ints:
        drawn.append(epoch)
        return compose(epoch, rng)

    module.compose = counted
    assert {module.steps_per_epoch for _ in range(5)} == {len(module.train) // module.batch_size}
    module.refuse_other_epoch(module.steps_per_epoch)
    assert drawn == [0]
    sampler = EpochSampler(len(module.train), module.batch_size, 0, compose=counted)
    assert drawn == [0], "nobody has asked for the number of batches"
    assert len(list(sampler)) == len(sampler)


class _Forks:
    """Children of this process that wait forever in the fork itself, as CPython 3.11 does in about one of 400."""

    def __init__(self) -> None:
        self.number = 0
        self.hanging: frozenset[int] = frozenset()
        os.register_at_fork(before=self._count, after_in_child=self._hang)

    def _count(self) -> None:
        self.number += 1

    def _hang(self) -> None:
        while self.number in self.hanging:
            time.sleep(1)

    @contextmanager
    def hang(self, *forks: int) -> Iterator[None]:
        """Let those of the next forks hang, counted from 1."""
        self.number, self.hanging = 0, frozenset(forks)
        yield
        self.hanging = frozenset()


@pytest.fixture(scope="module")
def forks() -> _Forks:
    return _Forks()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_that_hang_at_their_start_are_replaced(
    written: Path, forks: _Forks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = multiprocessing.active_children()  # those of earlier tests
    monkeypatch.setattr(loader_processes, "_PATIENCE", 2.0)
    torch.manual_seed(0)
    expected = [arrived(batch) for batch in data(written, workers=2).val_dataloader()]
    drawn = torch.rand(3)
    torch.manual_seed(0)
    caplog.set_level(logging.WARNING, logger="revalexo_clip")
    with forks.hang(2):  # the second worker of the first attempt
        found = [arrived(batch) for batch in data(written, workers=2).val_dataloader()]
    assert torch.equal(torch.rand(3), drawn), "random numbers of the training do not depend on it"
    assert forks.number == 4
    assert caplog.messages == ["a loader process has not started after 2 s; starting all again"]
    assert all(torch.equal(own.imu_BLC, other.imu_BLC) for own, other in zip(found, expected, strict=True))
    assert set(multiprocessing.active_children()) <= set(before)


@pytest.mark.long
def test_workers_that_never_start_are_an_error(written: Path, forks: _Forks, monkeypatch: pytest.MonkeyPatch) -> None:
    before = multiprocessing.active_children()  # those of earlier tests
    monkeypatch.setattr(loader_processes, "_PATIENCE", 0.5)
    monkeypatch.setattr(loader_processes, "_ATTEMPTS", 1)
    with forks.hang(1), pytest.raises(DataError, match=r"1 attempts.*data\.workers=0"):
        iter(data(written, workers=1).val_dataloader())
    assert forks.number == 1
    assert set(multiprocessing.active_children()) <= set(before)
