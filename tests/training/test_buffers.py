from __future__ import annotations

import gc
import multiprocessing
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from support.tiny_dataset import revalexo
from torch import Tensor

from revalexo_clip.augment import Augmentation, GaussianNoise, RandomResizedCrop
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import ImuSpec, Sample, Stack
from revalexo_clip.data import WindowDataset
from revalexo_clip.data.batches import EpochSampler
from revalexo_clip.data.dataset import arrived
from revalexo_clip.training import buffers as module
from revalexo_clip.training import loaders
from revalexo_clip.training.buffers import BatchBuffers, Filled, Tasks, window_bytes
from revalexo_clip.training.drawn_batches import TrainingBatch
from revalexo_clip.training.loaders import evaluation_loader, training_loader

BATCH = 8

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="only forked workers share buffers"),
]


class Pair(NamedTuple):
    """Two tensors and one that is not there, as in a batch."""

    one: Tensor
    others: tuple[Tensor, ...]
    none: None = None


def filled(buffers: BatchBuffers, value: float, *, length: int = 5) -> Filled:
    def build(stacked: Stack) -> Pair:
        rows = [torch.full((length,), value + row) for row in range(3)]
        return Pair(stacked(rows), (stacked([row > value for row in rows]), stacked([torch.empty(0)] * 3)))

    return buffers.fill(buffers.take(), build)


def opened(buffers: BatchBuffers, arriving: Filled) -> Pair:
    found = buffers.opened(arriving)
    assert isinstance(found, Pair)
    return found


def test_what_is_stacked_in_a_buffer_arrives() -> None:
    buffers = BatchBuffers(2, 4096)
    arriving = filled(buffers, 1.0)
    assert arriving.buffer == 0
    assert not any(isinstance(part, Tensor) for part in (arriving.content or ())), "only places travel"  # type: ignore[attr-defined]
    pair = opened(buffers, arriving)
    assert pair.one.tolist() == [[1.0] * 5, [2.0] * 5, [3.0] * 5]
    assert pair.others[0].tolist() == [[False] * 5, [True] * 5, [True] * 5]
    assert pair.others[1].shape == (3, 0)
    assert pair.none is None


def test_a_batch_is_not_overwritten_while_any_part_of_it_is_kept() -> None:
    buffers = BatchBuffers(2, 4096)
    kept = opened(buffers, filled(buffers, 1.0)).one[1:2].numpy()
    for value in range(10, 20):
        opened(buffers, filled(buffers, float(value)))
    assert kept.tolist() == [[2.0] * 5]
    assert list(buffers.free) == [1]
    del kept
    assert sorted(buffers.free) == [0, 1]


def test_without_a_free_buffer_a_batch_travels_as_it_is() -> None:
    buffers = BatchBuffers(1, 4096)
    first, second = (opened(buffers, filled(buffers, value)) for value in (1.0, 5.0))
    assert buffers.take() is None
    assert [float(pair.one[0, 0]) for pair in (first, second)] == [1.0, 5.0]


def test_a_tensor_that_does_not_fit_travels_as_it_is() -> None:
    buffers = BatchBuffers(2, 4096)
    pair = opened(buffers, filled(buffers, 1.0, length=1000))
    assert pair.one[:, 0].tolist() == [1.0, 2.0, 3.0]
    assert pair.others[0][:, 0].tolist() == [False, True, True]


def test_a_buffer_is_not_filled_before_a_copy_to_the_gpu_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event stands for CUDA's, which says whether the copies that were started before it have ended."""

    class Event:
        ended = False

        def query(self) -> bool:
            return self.ended

    events = deque([Event(), Event()])
    pending = list(events)
    monkeypatch.setattr(module, "_event_after_copies", events.popleft)
    buffers = BatchBuffers(1, 4096)
    opened(buffers, filled(buffers, 1.0))
    assert list(buffers.free) == [0]
    assert buffers.take() is None, "its copy is going on"
    pending[0].ended = True
    assert buffers.take() == 0


def test_memory_that_cannot_be_pinned_is_reported_once_and_leaves_no_error_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """This CUDA keeps its last error, as the real one does, until a kernel is started, which reports it."""
    errors: list[str] = []

    def refuse(pointer: int, size: int, flags: int) -> int:
        errors.append("out of memory")
        return 2

    def start_kernel(size: int, *, device: str) -> None:
        if errors:
            raise RuntimeError(errors.pop())

    cudart = SimpleNamespace(cudaHostRegister=refuse, cudaError=SimpleNamespace(success=0))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "cudart", lambda: cudart)
    monkeypatch.setattr(torch, "zeros", start_kernel)
    buffers = BatchBuffers(1, 4096)
    for _ in range(2):
        assert opened(buffers, filled(buffers, 1.0)).one[:, 0].tolist() == [1.0, 2.0, 3.0]
    assert "not pinned: cudaHostRegister gave 2" in caplog.text
    assert len(caplog.records) == 1
    assert errors == []


def test_buffers_of_an_epoch_that_was_left_are_free_in_the_next() -> None:
    buffers = BatchBuffers(2, 4096)
    kept = opened(buffers, filled(buffers, 1.0))
    assert [task.buffer for task in Tasks([[1], [2]], buffers)] == [1, None]
    assert [task.buffer for task in Tasks([[1], [2]], buffers)] == [1, None]
    del kept
    assert [task.buffer for task in Tasks([[1], [2]], buffers)] == [0, 1]


def training(root: Path) -> tuple[WindowDataset, Augmentation]:
    dataset = revalexo(root, crop=32).build("train", seed=5)
    augments = (GaussianNoise(p=1),), (RandomResizedCrop(),)
    return dataset, Augmentation(*augments, (), imu_spec=dataset.imu_spec, video_spec=dataset.video_spec)


def flat(content: object) -> list[Tensor]:
    if isinstance(content, Tensor):
        return [content]
    return [tensor for item in content for tensor in flat(item)] if isinstance(content, tuple) else []


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 3])
def test_batches_in_buffers_equal_those_of_a_single_process_while_they_are_kept_and_while_they_are_not(
    written: Path, workers: int
) -> None:
    dataset, augmentation = training(written)

    def loader(count: int) -> object:
        return training_loader(dataset, augmentation, EpochSampler(len(dataset), BATCH, 5), BATCH, count)

    expected = [flat(arrived(batch)) for batch in loader(0)]  # type: ignore[attr-defined]
    loading = loader(workers)
    for _ in range(3):  # buffers are used again
        for own, batch in zip(expected, loading, strict=True):  # type: ignore[call-overload]
            assert all(torch.equal(a, b) for a, b in zip(own, flat(arrived(batch)), strict=True))
    kept = [arrived(batch) for batch in loading]  # type: ignore[attr-defined]
    for own, batch in zip(expected, kept, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(own, flat(batch), strict=True))


def test_all_of_a_training_batch_travels_in_a_buffer(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, augmentation = training(written)
    arriving: list[Filled] = []

    def note(self: BatchBuffers, one: Filled) -> None:
        arriving.append(one)

    monkeypatch.setattr(BatchBuffers, "opened", note)
    assert len(list(training_loader(dataset, augmentation, EpochSampler(len(dataset), BATCH, 5), BATCH, 1))) == 5
    assert [one.buffer for one in arriving] == [0, 1, 2, 3, 4]
    assert not any(tensor.nbytes for one in arriving for tensor in flat(one.content))


def test_a_window_that_cannot_be_read_is_an_error_and_costs_no_buffer(written: Path) -> None:
    class Broken(type(training(written)[0])):  # type: ignore[misc]
        def __getitem__(self, key: tuple[int, int]) -> Sample:
            raise DataError(f"window {key[1]}")

    dataset, _ = training(written)
    dataset.__class__ = Broken
    loader = evaluation_loader(dataset, BATCH, 1)
    errors = list(loader)
    assert [str(error) for error in errors] == [f"window {first}" for first in range(0, 40, BATCH)]


@pytest.mark.long
def test_without_memory_for_buffers_batches_travel_as_they_are(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "window_bytes", lambda imu, video: 2**50)
    dataset, augmentation = training(written)
    expected, found = (
        [flat(arrived(batch)) for batch in training_loader(dataset, augmentation, sampler, BATCH, workers)]
        for sampler, workers in ((EpochSampler(len(dataset), BATCH, 5), count) for count in (0, 1))
    )
    assert all(
        torch.equal(a, b) for own, other in zip(expected, found, strict=True) for a, b in zip(own, other, strict=True)
    )


@pytest.mark.long
def test_a_left_epoch_is_followed_by_a_whole_one(written: Path) -> None:
    dataset, augmentation = training(written)
    loader = training_loader(dataset, augmentation, EpochSampler(len(dataset), BATCH, 5), BATCH, 2)
    first = arrived(next(iter(loader)))
    assert isinstance(first, TrainingBatch)
    whole = [arrived(batch) for batch in loader]
    assert len(whole) == 5
    assert all(torch.equal(a, b) for a, b in zip(flat(first), flat(whole[0]), strict=True))
    gc.collect()


def test_windows_of_imu_alone_need_no_room_for_frames() -> None:
    spec = ImuSpec(("acc_Pelvis_x",) * 6, ("m/s^2",) * 6, 60.0, 2.0)
    assert window_bytes(spec, None) < 20_000
