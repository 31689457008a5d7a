from __future__ import annotations

import contextlib
import gc
import pickle
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny_dataset import CHANNELS, number_of, revalexo
from torch.utils.data import DataLoader

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import UNLABELLED, Batch, Sample
from revalexo_clip.data.batches import EpochSampler, EvaluationSampler
from revalexo_clip.data.dataset import Fetch, arrived, collate
from revalexo_clip.data.motion import Motion


def loader(
    root: Path,
    workers: int,
    sampler: EpochSampler | EvaluationSampler,
    split: str = "train",
    context: str | None = None,
) -> DataLoader[Sample | DataError]:
    dataset = revalexo(root).build("train" if split == "train" else "val", seed=5)
    return DataLoader(
        Fetch(dataset),
        batch_size=8,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=workers > 0,
        multiprocessing_context=context,
    )


def batches(loading: DataLoader[Sample | DataError]) -> list[Batch]:
    return [arrived(fetched) for fetched in loading]


def equal(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True)
    )


def test_a_window_is_at_its_start_time(written: Path) -> None:
    dataset = revalexo(written, horizons=(0.0, 0.5, 1.0, 3.0)).build("val", seed=0)
    assert len(dataset) == 2 * 5
    assert dataset.clip_names == ("Subject08/0000", "Subject08/0001")
    for index in range(len(dataset)):
        sample = dataset[0, index]
        start = (index % 5) * 0.5
        assert (sample.clip.item(), sample.start.item(), sample.window.item()) == (index // 5, start, index)
        rows = np.arange(round(start * 60), round(start * 60) + 120)
        channels = [dataset.imu_spec.channels.index(name) for name in ("acc_Pelvis_x", "gyro_Pelvis_y")]
        np.testing.assert_allclose(sample.imu_LC[:, channels], rows[:, None] + np.array([0.0, 0.003]), atol=1e-4)
        numbers = [number_of(frame) for frame in sample.video_THWC.numpy()]
        assert numbers == [min(round(start * 30) + step, 119) for step in (0, 20, 40, 60)]
        ends = [start + 2.0 + horizon for horizon in (0.0, 0.5, 1.0, 3.0)]
        assert sample.label_K.tolist() == [UNLABELLED if end > 4.0 else int(end >= 2.4) for end in ends]
        assert sample.transition_K.tolist() == [2.2 <= end < 2.9 for end in ends]


def test_types_and_shapes_are_those_of_the_specifications(written: Path) -> None:
    dataset = revalexo(written, frames=3, crop=32, short_side=40, window=1.5).build("val", seed=0)
    assert dataset.imu_spec.channels == (
        "acc_Pelvis_x", "acc_Pelvis_y", "acc_Left_Foot_x", "acc_Left_Foot_y", "gyro_Pelvis_x", "gyro_Pelvis_y"
    )  # fmt: skip
    assert dataset.imu_spec.units == ("m/s^2",) * 4 + ("rad/s",) * 2
    sample = dataset[0, 7]
    assert (sample.imu_LC.shape, sample.imu_LC.dtype) == ((90, 6), torch.float32)
    assert (sample.video_THWC.shape, sample.video_THWC.dtype) == ((3, 32, 32, 3), torch.uint8)
    assert (sample.label_K.dtype, sample.transition_K.dtype) == (torch.int64, torch.bool)
    assert (sample.clip.dtype, sample.start.dtype, sample.window.dtype) == (torch.int64, torch.float64, torch.int64)


def test_training_windows_have_the_whole_frames_whose_centre_an_evaluation_window_has(written: Path) -> None:
    data = revalexo(written, val_subjects=("08",), crop=32, short_side=36, windows_per_clip=1)
    train, val = data.build("train", seed=0), data.build("val", seed=0)
    whole = train[0, 0].video_THWC
    assert (whole.shape, whole.dtype) == ((4, 36, 48, 3), torch.uint8)
    assert val[0, 0].video_THWC.shape == (4, 32, 32, 3)
    assert (train.video_spec.crop, train.video_spec.short_side) == (32, 36)


def test_windows_without_frames_have_frames_for_people_to_look_at(written: Path) -> None:
    seen = revalexo(written).build("val", seed=0)
    assert torch.equal(seen.shown_frames(7, count=2, side=16), seen[0, 7].video_THWC)
    dataset = revalexo(written, frames=0, motion=Motion(rows=1, columns=1, width=64)).build("val", seed=0)
    assert not dataset[0, 7].video_THWC.numel()
    shown_THWC = dataset.shown_frames(7, count=4, side=32)
    assert shown_THWC.shape == (4, 32, 32, 3)
    assert [number_of(frame) for frame in shown_THWC.numpy()] == [30 + step for step in (0, 20, 40, 60)]


def test_training_starts_are_new_in_each_epoch_and_seed_and_stay_in_their_segment(written: Path) -> None:
    dataset = revalexo(written).build("train", seed=5)
    assert len(dataset) == 4 * 10
    starts = [[dataset[epoch, index].start.item() for index in range(0, 20, 5)] for epoch in range(3)]
    other = [revalexo(written).build("train", seed=6)[0, index].start.item() for index in range(0, 20, 5)]
    assert len({start for drawn in (*starts, other) for start in drawn}) == 16
    for drawn in starts:
        assert all(
            0.2 * (index % 10) <= start <= 0.2 * (index % 10 + 1)
            for index, start in zip((0, 5, 10, 15), drawn, strict=True)
        )


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(("workers", "context"), [(1, "fork"), (3, "fork"), (1, "spawn")])
def test_samples_are_the_same_for_any_number_of_workers(workers: int, context: str, written: Path) -> None:
    alone = batches(loader(written, 0, EpochSampler(40, 8, seed=5)))
    assert equal(alone, batches(loader(written, workers, EpochSampler(40, 8, seed=5), context=context)))
    assert [len(batch.window_B) for batch in alone] == [8] * 5


@pytest.mark.long
def test_persistent_workers_see_the_new_epoch(written: Path) -> None:
    sampler = EpochSampler(40, 8, seed=5)
    loading = loader(written, 2, sampler)
    first = batches(loading)
    sampler.set_epoch(1)
    second = batches(loading)
    assert not set(torch.cat([b.start_B for b in first]).tolist()) & set(
        torch.cat([b.start_B for b in second]).tolist()
    )
    sampler.set_epoch(0)
    assert equal(batches(loading), first)


def test_evaluation_does_not_depend_on_the_epoch_or_the_seed(written: Path) -> None:
    one, other = (revalexo(written).build("val", seed=seed) for seed in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one[0, 3], other[9, 3], strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_error_arrives_as_itself(workers: int, root: Path) -> None:
    video = root / "videos/Subject08/0001.mp4"
    content = video.read_bytes()
    loading = loader(root, workers, EvaluationSampler(10), split="val")
    video.write_bytes(content[: len(content) // 2])
    message = ""
    try:
        batches(loading)
    except DataError as error:
        message = str(error)
    assert message == (
        f"Subject08/0001, window at 0.000 s: {video}: cannot be decoded as video: "
        "Invalid data found when processing input"
    )


def test_an_error_releases_the_loader_at_once(root: Path) -> None:
    loading = loader(root, 2, EvaluationSampler(10), split="val")
    (root / "imu/Subject08/0000.csv").write_text("acc_Pelvis_x\n")
    gc.disable()
    try:
        with contextlib.suppress(DataError):
            batches(loading)
        alive = weakref.ref(loading)
        del loading
        assert alive() is None
    finally:
        gc.enable()


def test_a_recording_that_is_too_short_is_an_error_that_names_clip_and_file(root: Path) -> None:
    recording = root / "imu/Subject08/0000.csv"
    recording.write_text("\n".join(recording.read_text().splitlines()[:200]))
    with pytest.raises(
        DataError,
        match=r"0000\.csv: the IMU recording covers 0\.000 s to 3\.333 s of the 4 s of Subject08/0000: .* less than "
        r"data\.min_duration \(3\.5 s\)",
    ):
        revalexo(root, min_duration=3.5).build("val", seed=0)


def test_a_clip_is_cut_to_the_time_that_its_recording_covers(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    recording = root / "imu/Subject08/0000.csv"
    recording.write_text("\n".join(recording.read_text().splitlines()[:200]))
    dataset = revalexo(root).build("val", seed=0)
    assert [float(start) for start in dataset.windows.start_N[dataset.windows.clip_N == 0]] == [0.0, 0.5, 1.0]
    for index in range(len(dataset)):
        assert dataset[0, index].imu_LC.shape == (120, 6)
    (warning,) = (record.getMessage() for record in caplog.records)
    assert (
        warning
        == "1 clip is cut to the time that annotations, IMU and video share, by 0.67 s in all: Subject08/0000 (0.67 s)"
    )


def test_a_pickled_dataset_does_not_contain_what_it_has_read(written: Path) -> None:
    dataset = revalexo(written).build("train", seed=5)
    before = len(pickle.dumps(dataset))
    sample = dataset[0, 0]
    travelled = pickle.loads(pickle.dumps(dataset))
    assert len(pickle.dumps(dataset)) == before
    assert all(torch.equal(a, b) for a, b in zip(sample, travelled[0, 0], strict=True))


def test_samples_do_not_share_memory_with_what_is_kept(written: Path) -> None:
    dataset = revalexo(written).build("val", seed=0)
    sample = dataset[0, 0]
    before = sample.imu_LC.clone()
    sample.imu_LC.zero_()
    assert torch.equal(dataset[0, 0].imu_LC, before)


def test_real_recordings_make_windows(real: Path) -> None:
    data = revalexo(
        real,
        train_subjects=("GoPro1", "GoPro2"),
        val_subjects=("Neon1",),
        channels=("acc_Head_*", "gyro_Head_*"),
        min_duration=4.0,
    )
    train, val = data.build("train", seed=0), data.build("val", seed=0)
    assert (len(train), len(val)) == (20, 6)
    assert train.imu_spec.channels == tuple(f"{kind}_Head_{axis}" for kind in ("acc", "gyro") for axis in "xyz")
    for sample in (*(train[0, index] for index in (0, 9, 19)), *(val[0, index] for index in (0, 5))):
        assert torch.isfinite(sample.imu_LC).all()
        assert 7.0 < sample.imu_LC[:, :3].norm(dim=1).mean() < 13.0
        assert sample.video_THWC.float().std() > 10


def test_statistics_are_those_of_all_samples_of_the_split(written: Path) -> None:
    dataset = revalexo(written).build("train", seed=0)
    mean, std = dataset.imu_statistics()
    columns = [
        np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(1, 9))
        for subject in ("Subject01", "Subject02")
        for path in sorted((written / "imu" / subject).glob("*.csv"))
    ]
    place = [CHANNELS.index(name) for name in dataset.imu_spec.channels]
    samples_nC = np.concatenate(columns)[:, place]
    np.testing.assert_allclose(mean, samples_nC.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(std, samples_nC.std(axis=0), rtol=1e-6)


def test_a_channel_that_never_changes_cannot_be_standardised(root: Path) -> None:
    for path in (root / "imu").rglob("*.csv"):
        header, *rows = path.read_text().splitlines()
        path.write_text("\n".join([header, *(f"{row.rsplit(',', 6)[0]},7.5,1,2,3,4,5" for row in rows)]) + "\n")
    dataset = revalexo(root).build("train", seed=0)
    with pytest.raises(DataError, match=r"constant channels cannot be standardised: .*gyro_Pelvis_x"):
        dataset.imu_statistics()
