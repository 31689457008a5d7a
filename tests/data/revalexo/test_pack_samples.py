"""Windows from a pack are equal to windows from the packed files, except for JPEG artefacts."""

from __future__ import annotations

import pickle
import resource
import shutil
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from support.packs import FIELDS, write_different
from support.tiny_dataset import number_of, revalexo, source_of, steady, write_video
from torch.utils.data import DataLoader

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import Batch, Split
from revalexo_clip.data import WindowDataset
from revalexo_clip.data.batches import EpochSampler
from revalexo_clip.data.dataset import Fetch, arrived, collate
from revalexo_clip.data.revalexo.pack import payload, queue, write
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.data.revalexo.pack.find import NAME
from revalexo_clip.data.revalexo.pack.folder import open_pack
from revalexo_clip.data.synthetic import synthesize

MEAN, MOST = 2.5, 13
"""Mean error and 99th percentile of the error of pixels in real recordings [of 255]. Resizing twice contributes as much
as JPEG; see `test_pixels_of_real_recordings...`."""


def both(root: Path, file: Path, split: Split, **fields: object) -> tuple[WindowDataset, WindowDataset]:
    """Yield the windows of a split, read from the files and from a pack."""
    raw, packed = (revalexo(root, pack=pack, **fields).build(split, seed=3) for pack in ("off", file))
    assert (source_of(raw), source_of(packed)) == ("RawFiles", "PackedFiles")
    return raw, packed


def pixel_errors(raw: WindowDataset, packed: WindowDataset, windows: Sequence[int]) -> np.ndarray:
    """Return the absolute differences of pixels; everything else must be equal."""
    assert len(raw) == len(packed)
    errors = []
    for index in windows:
        one, other = raw[1, index], packed[1, index]
        for field in set(one._fields) - {"video_THWC"}:
            assert torch.equal(getattr(one, field), getattr(other, field)), field
        assert one.video_THWC.shape == other.video_THWC.shape
        assert other.video_THWC.is_contiguous()
        errors.append((one.video_THWC.int() - other.video_THWC.int()).abs().numpy().ravel())
    return np.concatenate(errors)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(("short_side", "crop"), [(36, 36), (72, 60), (16, 16), (100, 90)])
def test_tiny_windows_are_equal(short_side: int, crop: int, split: Split, written: Path) -> None:
    fields = {"short_side": short_side, "crop": crop, "horizons": (0.0, 0.5, 3.0)}
    raw, packed = both(written, written / NAME, split, **fields)
    errors = pixel_errors(raw, packed, range(0, len(raw), 3))
    assert errors.mean() < 1.2
    assert np.percentile(errors, 99) <= 4
    assert raw.clip_names == packed.clip_names
    assert (raw.clip_subjects, raw.activities, raw.num_too_short) == (packed.clip_subjects, packed.activities, 0)
    assert (raw.imu_spec, raw.video_spec) == (packed.imu_spec, packed.video_spec)
    assert raw.fingerprint() == packed.fingerprint()
    assert raw.imu_statistics() == packed.imu_statistics()


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(("short_side", "crop"), [(182, 182), (256, 224), (96, 96), (32, 32)])
def test_pixels_of_real_recordings_are_within_the_bound(
    short_side: int, crop: int, split: Split, real: Path, real_pack: Path
) -> None:
    fields = {
        "train_subjects": ("GoPro1", "GoPro2"),
        "val_subjects": ("Neon1",),
        "channels": ("acc_Head_*", "gyro_Head_*"),
    }
    raw, packed = both(real, real_pack, split, short_side=short_side, crop=crop, **fields)
    errors = pixel_errors(raw, packed, range(0, len(raw), 2))
    assert errors.mean() < MEAN
    assert np.percentile(errors, 99) <= MOST
    assert raw.imu_statistics() == packed.imu_statistics()


@pytest.fixture(scope="module")
def real_pack(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(real, tmp_path_factory.mktemp("real") / "pack", processes=1).path


@pytest.mark.long
def test_windows_of_the_demo_dataset_are_equal(tmp_path: Path) -> None:
    synthesize(tmp_path / "demo", subjects=2, clips=1, processes=1)
    file = pack(tmp_path / "demo").path
    fields = {"train_subjects": ("01",), "val_subjects": ("02",), "channels": ("acc_*", "gyro_*"), "frames": 8}
    splits: tuple[Split, ...] = ("train", "val")
    for split in splits:
        errors = pixel_errors(*both(tmp_path / "demo", file, split, short_side=32, crop=32, **fields), range(0, 10, 2))
        assert errors.mean() < 2
        assert np.percentile(errors, 99) <= 8


@pytest.mark.long
@pytest.mark.parametrize("matrix", [None, (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)], ids=["upright", "rotated"])
def test_frames_are_found_by_presentation_time_and_turned_upright(matrix: Sequence[int] | None, root: Path) -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.01, 0.06, 120)) + 0.05
    for clip in ("0000", "0001"):
        write_video(root / f"videos/Subject08/{clip}.mp4", [*times.tolist(), *(times[-1] + 0.02 + np.arange(60) / 30)],
                    matrix=matrix)  # fmt: skip
    file = pack(root).path
    raw, packed = both(root, file, "val", frames=9, short_side=51, crop=38)
    errors = pixel_errors(raw, packed, range(len(raw)))
    assert np.percentile(errors, 99) <= 4
    if matrix is None:
        for index in (0, 4):
            numbers = [
                [number_of(frame) for frame in dataset[0, index].video_THWC.numpy()] for dataset in (raw, packed)
            ]
            assert numbers[0] == numbers[1]
            assert len(set(numbers[0])) > 4


def test_a_time_without_a_frame_is_the_same_error(root: Path) -> None:
    times = steady(4.0)
    write_video(root / "videos/Subject08/0001.mp4", [*times[:45], *times[75:]])
    raw, packed = both(root, pack(root).path, "val")
    messages = []
    for dataset in (raw, packed):
        with pytest.raises(
            DataError, match=r"Subject08/0001, window at 0.000 s: .*0001\.mp4: has no frame near"
        ) as error:
            _ = dataset[0, 5]
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def loaded(dataset: WindowDataset, workers: int, context: str | None) -> list[Batch]:
    """Return two epochs of training batches."""
    sampler = EpochSampler(40, 8, seed=5)
    loading = DataLoader(
        Fetch(dataset),
        batch_size=8,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=workers > 0,
        multiprocessing_context=context,
    )
    first = [arrived(batch) for batch in loading]
    sampler.set_epoch(1)
    return [*first, *(arrived(batch) for batch in loading)]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_batches_are_the_same_for_any_number_of_workers_forked_or_spawned(written: Path) -> None:
    alone = loaded(revalexo(written, pack="auto").build("train", seed=5), 0, None)
    assert len(alone) == 10
    assert not torch.equal(alone[0].start_B, alone[5].start_B)
    for workers, context in ((1, "fork"), (3, "fork"), (2, "spawn")):
        dataset = revalexo(written, pack="auto").build("train", seed=5)
        _ = dataset[0, 0]  # what was opened here must not disturb the workers
        for one, other in zip(alone, loaded(dataset, workers, context), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_pickled_dataset_is_small_and_reads_the_same(written: Path) -> None:
    dataset = revalexo(written, pack="auto").build("train", seed=5)
    sample = dataset[0, 0]
    sent = pickle.dumps(dataset)
    assert len(sent) < 20_000
    assert all(torch.equal(a, b) for a, b in zip(sample, pickle.loads(sent)[0, 0], strict=True))


@pytest.mark.long
def test_memory_does_not_grow_over_epochs(written: Path) -> None:
    dataset = revalexo(written, pack="auto").build("train", seed=5)

    def epoch(number: int) -> None:
        for index in range(len(dataset)):
            _ = dataset[number, index]

    epoch(0)
    tracemalloc.start()
    epoch(1)
    before, descriptors = tracemalloc.get_traced_memory()[0], len(list(Path("/proc/self/fd").iterdir()))
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(2, 8):
        epoch(number)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 50_000
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident < 4096


def test_samples_do_not_share_memory(written: Path) -> None:
    dataset = revalexo(written, pack="auto").build("val", seed=0)
    sample = dataset[0, 0]
    before = sample.imu_LC.clone()
    sample.imu_LC.zero_()
    assert torch.equal(dataset[0, 0].imu_LC, before)


def test_a_shard_that_is_removed_or_shortened_under_a_run_is_an_error(written: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(written / NAME, tmp_path / "pack"))
    (shard,) = (path / "shards").iterdir()
    content = shard.read_bytes()
    dataset = revalexo(written, pack=path).build("val", seed=0)
    shard.write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"shards/.*\.h5: has \d+ bytes, not \d+; delete it, and run again"):
        _ = dataset[0, 0]
    shard.unlink()
    with pytest.raises(DataError, match=r"shards/.*\.h5: cannot be read: No such file or directory; start again"):
        _ = dataset[0, 0]
    shard.write_bytes(content)
    assert dataset[0, 0].imu_LC.shape[0] == 120


@pytest.mark.long
def test_only_some_shards_are_open_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (write, queue):
        monkeypatch.setattr(module, "SHARD_BYTES", 10_000)
    monkeypatch.setattr(payload, "OPEN_FILES", 2)
    root = write_different(tmp_path / "dataset")
    assert len(open_pack(pack(root, processes=1).path).entries.shards.names) > 4
    dataset = revalexo(root, pack="auto", **FIELDS).build("train", seed=0)
    before = len(list(Path("/proc/self/fd").iterdir()))
    first = [dataset[0, index] for index in range(len(dataset))]
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2
    for index in reversed(range(len(dataset))):
        assert all(torch.equal(one, other) for one, other in zip(first[index], dataset[0, index], strict=True))
