from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from support.small_process import EXPERIMENT, succeed
from support.tiny_dataset import revalexo, steady, write_video
from torch import Tensor

from revalexo_clip.augment import (
    Augmentation,
    Augmented,
    ChannelDropout,
    ColorJitter,
    GaussianNoise,
    Grayscale,
    HorizontalFlip,
    ImuAugmentation,
    MagnitudeWarp,
    RandomErasing,
    RandomResizedCrop,
    Scale,
    TimeWarp,
    VideoAugmentation,
)
from revalexo_clip.augment.base import Draw, PerWindowImu
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.data import WindowDataset
from revalexo_clip.data.batches import EpochSampler
from revalexo_clip.data.dataset import arrived
from revalexo_clip.data.windows import sample_rng
from revalexo_clip.training.drawn_batches import FetchAndDraw, TrainingBatch, collate_training
from revalexo_clip.training.loaders import training_loader

IMU_AUGMENT: tuple[ImuAugmentation, ...] = (Scale(), MagnitudeWarp(), TimeWarp(), ChannelDropout(), GaussianNoise())
VIDEO_AUGMENT: tuple[VideoAugmentation, ...] = (
    *(ColorJitter(), Grayscale(), RandomResizedCrop(), HorizontalFlip(), RandomErasing()),
)
BATCH, WINDOWS = 8, 40


def training(root: Path, **fields: object) -> tuple[WindowDataset, Augmentation]:
    dataset = revalexo(root, **{"crop": 32} | fields).build("train", seed=5)
    return dataset, Augmentation(
        IMU_AUGMENT, VIDEO_AUGMENT, (), imu_spec=dataset.imu_spec, video_spec=dataset.video_spec
    )


def epoch_of(
    root: Path, workers: int = 0, *, rank: int = 0, world: int = 1, epoch: int = 0, seed: int = 5
) -> tuple[list[TrainingBatch], list[tuple[Tensor, Tensor]]]:
    """Return the batches of an epoch as loaded, and as the encoders get them."""
    dataset, augmentation = training(root)
    sampler = EpochSampler(len(dataset), BATCH, seed, rank=rank, world=world)
    sampler.set_epoch(epoch)
    loaded = [arrived(batch) for batch in training_loader(dataset, augmentation, sampler, BATCH // world, workers)]
    batches = [batch for batch in loaded if isinstance(batch, TrainingBatch)]
    assert len(batches) == WINDOWS // BATCH
    return batches, [applied(augmentation, batch)[:2] for batch in batches]


def applied(augmentation: Augmentation, batch: TrainingBatch) -> Augmented:
    windows = batch.windows
    return augmentation.apply(windows.imu_BLC, windows.video_BTHWC, windows.motion_BMYX3, batch.draws)


def equal(one: list[tuple[Tensor, Tensor]], other: list[tuple[Tensor, Tensor]]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True)
    )


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 3])
def test_augmented_batches_are_the_same_for_any_number_of_workers(workers: int, written: Path) -> None:
    assert equal(epoch_of(written)[1], epoch_of(written, workers)[1])


def test_augmented_batches_are_the_same_for_one_process_and_for_two(written: Path) -> None:
    _, alone = epoch_of(written)
    halves = [epoch_of(written, rank=rank, world=2)[1] for rank in range(2)]
    together = [
        (torch.cat([one[0], other[0]]), torch.cat([one[1], other[1]])) for one, other in zip(*halves, strict=True)
    ]
    assert equal(alone, together)


def test_every_epoch_and_every_seed_augments_anew(written: Path) -> None:
    dataset, augmentation = training(written)
    window = dataset[0, 3]

    def drawn(seed: int, epoch: int) -> Tensor:
        sample = FetchAndDraw(dataset, augmentation, seed)[epoch, 3]
        assert not isinstance(sample, DataError)
        return torch.cat([one.flatten() for one in (sample.draws.color, *sample.draws.imu)])

    assert torch.equal(drawn(5, 0), drawn(5, 0))
    assert not torch.equal(drawn(5, 0), drawn(5, 1))
    assert not torch.equal(drawn(5, 0), drawn(6, 0))
    assert window.video_THWC.shape == (4, 36, 48, 3)
    first, second = (epoch_of(written, epoch=epoch) for epoch in range(2))
    assert not equal(first[1], second[1])


def test_augmentation_does_not_change_which_moments_a_window_shows(written: Path) -> None:
    dataset, augmentation = training(written)
    for batch in epoch_of(written)[0]:
        for start, window in zip(batch.windows.start_B, batch.windows.window_B, strict=True):
            assert dataset[0, int(window)].start == start
    sample = FetchAndDraw(dataset, augmentation, 5)[0, 3]
    assert not isinstance(sample, DataError)
    _, like_the_start = augmentation.draw(sample_rng(5, 0, 3), (36, 48))
    assert not torch.equal(sample.draws.imu[1], like_the_start.imu[1]) or not torch.equal(
        sample.draws.color, like_the_start.color
    )


@pytest.mark.long
def test_frames_of_different_sizes_share_a_batch_and_each_is_seen_as_if_alone(root: Path) -> None:
    upright = [np.random.default_rng(7).integers(0, 255, (96, 64, 3)).astype(np.uint8)] * 120
    write_video(root / "videos/Subject01/0000.mp4", steady(4.0), frames=upright)
    dataset, augmentation = training(root)
    sizes = {dataset[0, index].video_THWC.shape[1:3] for index in range(len(dataset))}
    assert sizes == {(36, 48), (54, 36)}
    batches, augmented = epoch_of(root)
    assert {batch.windows.video_BTHWC.shape for batch in batches} == {(BATCH, 4, 32, 32, 3)}
    fetch = FetchAndDraw(dataset, augmentation, 5)
    for batch, (imu_BLC, video_B3THW) in zip(batches, augmented, strict=True):
        for row, window in enumerate(batch.windows.window_B.tolist()):
            alone = arrived(collate_training([fetch[0, window]]))
            assert isinstance(alone, TrainingBatch)
            one = applied(augmentation, alone)
            assert torch.equal(one.imu_BLC[0], imu_BLC[row])
            assert torch.equal(one.video_B3THW[0], video_B3THW[row])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_window_that_cannot_be_read_arrives_as_its_error(workers: int, root: Path) -> None:
    (root / "imu/Subject01/0000.csv").write_text("acc_Pelvis_x\n")
    with pytest.raises(DataError, match=r"0000\.csv"):
        epoch_of(root, workers)


AUGMENTED = """

from revalexo_clip import (
    ChannelDropout, ColorJitter, GaussianNoise, Grayscale, HorizontalFlip, ImuAugmentation, MagnitudeWarp,
    RandomErasing, RandomResizedCrop, Scale, TimeWarp, VideoAugmentation,
)

class Augmented(Small):
    imu_augment: tuple[ImuAugmentation, ...] = (
        Scale(), MagnitudeWarp(), TimeWarp(), ChannelDropout(), GaussianNoise()
    )
    video_augment: tuple[VideoAugmentation, ...] = (
        ColorJitter(), Grayscale(), RandomResizedCrop(), HorizontalFlip(), RandomErasing()
    )
"""


@pytest.mark.long
def test_training_takes_augmented_windows_and_parts_of_a_batch_change_nothing(root: Path) -> None:
    (root.parent / "augmented.py").write_text(EXPERIMENT.read_text() + AUGMENTED)

    def summary(experiment: str, *settings: str) -> tuple[str, float]:
        arguments = (word for setting in settings for word in ("--set", setting))
        told = succeed("pretrain", f"augmented.py:{experiment}", "--dry-run", *arguments, cwd=root.parent)
        shape, loss = (re.search(rf"{title} +(.+)", told.stdout) for title in ("video batch", "loss of one batch"))
        assert shape
        assert loss
        return shape[1].strip(), float(loss[1])

    shape, loss = summary("Augmented")
    assert shape == "8 x 4 x 36 x 36 x 3"
    assert summary("Augmented", "micro_batch=3")[1] == pytest.approx(loss, abs=2e-3)
    plain_shape, plain_loss = summary("Small")
    assert plain_shape == "8 x 4 x 36 x 36 x 3"
    assert plain_loss != pytest.approx(loss, abs=2e-3)


class ShiftedInLoader(PerWindowImu):
    """Add a random number to a window; in tests only."""

    def __call__(self, imu_LC: Draw, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        return imu_LC + np.float32(rng.uniform(10, 20))


def test_a_second_view_is_drawn_from_a_stream_of_its_own(written: Path) -> None:
    dataset = revalexo(written, crop=32).build("train", seed=5)

    def views(*, second_view: bool, epoch: int = 0, row: int | None = None) -> Augmented:
        augmentation = Augmentation(
            (ShiftedInLoader(), *IMU_AUGMENT),
            VIDEO_AUGMENT,
            (),
            imu_spec=dataset.imu_spec,
            video_spec=dataset.video_spec,
            second_view=second_view,
        )
        fetch = FetchAndDraw(dataset, augmentation, 5)
        rows = range(6) if row is None else (row,)
        batch = arrived(collate_training([fetch[epoch, index] for index in rows]))
        assert isinstance(batch, TrainingBatch)
        return applied(augmentation, batch)

    alone, both = views(second_view=False), views(second_view=True)
    assert alone.second_BLC is None
    assert torch.equal(alone.imu_BLC, both.imu_BLC)
    assert torch.equal(alone.video_B3THW, both.video_B3THW)
    second_BLC, other, single = (
        found.second_BLC for found in (both, views(second_view=True, epoch=1), views(second_view=True, row=3))
    )
    assert second_BLC is not None
    assert other is not None
    assert single is not None
    assert (second_BLC != both.imu_BLC).flatten(1).any(1).all()
    assert (second_BLC != other).flatten(1).any(1).all()
    assert torch.equal(second_BLC[3], single[0])


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_second_view_travels_from_workers(written: Path) -> None:
    dataset = revalexo(written, crop=32).build("train", seed=5)
    augmentation = Augmentation(
        (ShiftedInLoader(), GaussianNoise(p=1)),
        (),
        (),
        imu_spec=dataset.imu_spec,
        video_spec=dataset.video_spec,
        second_view=True,
    )
    batches = []
    for workers in (0, 1):
        sampler = EpochSampler(len(dataset), BATCH, 5)
        (first, *_) = (arrived(batch) for batch in training_loader(dataset, augmentation, sampler, BATCH, workers))
        assert isinstance(first, TrainingBatch)
        batches.append(applied(augmentation, move_data_to_device(first, torch.device("cpu"))).second_BLC)
    assert batches[0] is not None
    assert batches[1] is not None
    assert torch.equal(batches[0], batches[1])


def test_specs_with_statistics_make_no_difference_to_what_is_drawn(written: Path) -> None:
    dataset, augmentation = training(written)
    measured = replace(dataset.imu_spec, mean=(0.0,) * 6, std=(1.0,) * 6)
    other = Augmentation(IMU_AUGMENT, VIDEO_AUGMENT, (), imu_spec=measured, video_spec=dataset.video_spec)
    one, two = (each.draw(np.random.default_rng(3), (36, 48))[1] for each in (augmentation, other))
    assert all(torch.equal(a, b) for a, b in zip(one.imu, two.imu, strict=True))


@pytest.mark.parametrize("part", [1, 3, 8])
def test_windows_are_augmented_in_parts_as_all_at_once(written: Path, part: int) -> None:
    _, augmentation = training(written)
    (batch, *_), ((imu_BLC, video_B3THW), *_) = epoch_of(written)
    for start in range(0, BATCH, part):
        rows = slice(start, min(start + part, BATCH))
        imu_bLC, video_b3THW, _, _ = batch.augmented(rows, augmentation)
        assert torch.equal(imu_bLC, imu_BLC[rows])
        assert torch.equal(video_b3THW, video_B3THW[rows])
