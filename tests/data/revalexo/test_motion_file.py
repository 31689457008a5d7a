"""Motion files: made once, made again if a video changes, and windows read from them."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from support.moving_texture import coloured, frames, swaying
from support.read_only import read_only
from support.tiny_dataset import revalexo, steady, write_video
from torch.utils.data import DataLoader

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import WriteError
from revalexo_clip.data import RevalExo
from revalexo_clip.data.base import NO_MOTION, NO_VIDEO
from revalexo_clip.data.dataset import Fetch, arrived, collate
from revalexo_clip.data.motion import Motion, measure_video
from revalexo_clip.data.revalexo.motion import measure
from revalexo_clip.data.revalexo.motion.build import file_name, find_motion, make_motion, write_motion
from revalexo_clip.data.revalexo.pack import choose
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.data.revalexo.pack.exclusive import parts_of
from revalexo_clip.data.revalexo.pack.find import NAME, cache_folder
from revalexo_clip.motion import resample

COARSE = Motion(rows=2, columns=2, width=64)
FILE = "rxclip-motion-phase1-2x2-64.h5"


def moving(root: Path, **fields: object) -> RevalExo:
    """The tiny dataset with motion only."""
    return revalexo(root, **{"frames": 0, "motion": COARSE, **fields})


def prepared(data: RevalExo) -> list[tuple[int, int]]:
    """Prepare a dataset; return the progress that was shown."""
    shown: list[tuple[int, int]] = []
    data.prepare(lambda done, total: shown.append((done, total)), leader=True)
    return shown


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the videos that are measured, all in this process."""
    names: list[str] = []

    def measured(path: Path, motion: Motion) -> object:
        names.append(path.name)
        return measure_video(path, motion)

    monkeypatch.setattr(measure, "measure_video", measured)
    monkeypatch.setattr("revalexo_clip.data.revalexo.motion.build.cores", lambda jobs: 1)
    return names


@pytest.mark.long
def test_a_window_holds_the_motion_of_its_time(root: Path) -> None:
    write_video(root / "videos/Subject08/0000.mp4", steady(4.0), frames=coloured(frames(swaying, steady(4.0))))
    data = moving(root, motion=Motion(rate=20))
    assert data.unprepared()
    assert prepared(data)[-1] == (6, 6)
    assert not data.unprepared()
    dataset = data.build("val", seed=0)
    spec = dataset.video_spec.motion
    assert spec is not None
    assert (spec.rate, spec.window, spec.rows, spec.columns, spec.moments) == (20, 2.0, 3, 4, 40)
    track = measure_video(root / "videos/Subject08/0000.mp4", Motion())
    for index in range(5):
        sample = dataset[0, index]
        assert sample.motion_MYX3.dtype == torch.float32
        np.testing.assert_allclose(sample.motion_MYX3, resample(track, 0.5 * index, spec), atol=1e-5)
    at = [0.1 * np.sin(2 * np.pi * 1.1 * time) for time in (1.0, 1.05)]
    np.testing.assert_allclose(dataset[0, 2].motion_MYX3[0, :, :, 0].median(), (at[1] - at[0]) * 20, atol=0.06)


def test_windows_without_frames_need_no_pack(root: Path) -> None:
    data = moving(root, pack="auto")
    prepared(data)
    assert not (root / NAME).exists()
    sample = data.build("train", seed=0)[0, 0]
    assert sample.video_THWC.shape == NO_VIDEO.shape
    assert sample.motion_MYX3.shape == (60, 2, 2, 3)


def test_windows_may_have_frames_and_motion(root: Path) -> None:
    data = moving(root, pack="auto", frames=4)
    prepared(data)
    assert (root / NAME).exists()
    sample, plain = data.build("val", seed=0)[0, 3], revalexo(root, pack="auto").build("val", seed=0)[0, 3]
    assert torch.equal(sample.video_THWC, plain.video_THWC)
    assert plain.motion_MYX3.shape == NO_MOTION.shape
    assert sample.motion_MYX3.shape == (60, 2, 2, 3)


@pytest.mark.long
def test_files_and_pack_give_the_same_motion(root: Path) -> None:
    pack(root)
    raw, packed = (moving(root, pack=kind, frames=4).build("train", seed=3) for kind in ("off", "auto"))
    for index in range(0, len(raw), 9):
        assert torch.equal(raw[1, index].motion_MYX3, packed[1, index].motion_MYX3)


def test_a_dataset_that_is_not_prepared_is_measured_when_it_is_read(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "revalexo_clip"):
        dataset = moving(root).evaluating(("08",)).build("test", seed=0)
        assert not (root / FILE).exists()
        assert dataset[0, 0].motion_MYX3.shape == (60, 2, 2, 3)
    assert f"motion {root / FILE}: measured once" in caplog.text
    assert find_motion(root, COARSE) is not None


@pytest.mark.long
def test_samples_are_the_same_for_any_number_of_workers(root: Path) -> None:
    """Workers of a dataset that is not prepared measure it once, and wait for each other."""
    dataset = moving(root).build("val", seed=0)
    loaded = []
    for workers, context in ((2, "fork"), (0, None), (1, "spawn")):
        loader = DataLoader(
            Fetch(dataset),
            batch_size=4,
            sampler=[(0, index) for index in range(len(dataset))],
            num_workers=workers,
            collate_fn=collate,
            multiprocessing_context=context,
        )
        loaded.append(torch.cat([arrived(fetched).motion_BMYX3 for fetched in loader]))
    assert torch.equal(loaded[0], loaded[1])
    assert torch.equal(loaded[0], loaded[2])
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[0, 1].motion_MYX3, loaded[0][1])


@pytest.mark.long
def test_only_videos_that_changed_are_measured_again(root: Path, counted: list[str]) -> None:
    make_motion(root, COARSE)
    assert len(counted) == 6
    before = moving(root).build("val", seed=0)[0, 7].motion_MYX3
    counted.clear()
    make_motion(root, COARSE)
    assert counted == []
    os.utime(root / "videos/Subject02/0000.mp4")  # as after copying: the content is the same
    assert not moving(root).unprepared()
    write_video(root / "videos/Subject08/0000.mp4", steady(4.0), frames=coloured(frames(swaying, steady(4.0))))
    assert moving(root).unprepared()
    make_motion(root, COARSE)
    assert counted == ["0000.mp4"]
    assert torch.equal(moving(root).build("val", seed=0)[0, 7].motion_MYX3, before)


@pytest.mark.long
def test_other_settings_have_a_file_of_their_own(root: Path, counted: list[str]) -> None:
    make_motion(root, COARSE)
    make_motion(root, Motion(rows=1, columns=2, width=64, rate=10))
    assert len(counted) == 12
    assert find_motion(root, COARSE) is not None
    faster = moving(root, motion=COARSE.model_copy(update={"rate": 60.0})).build("val", seed=0)
    assert faster[0, 0].motion_MYX3.shape == (120, 2, 2, 3)
    assert len(counted) == 12


@pytest.mark.long
def test_a_read_only_dataset_is_measured_into_the_cache_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory() as folder:  # one that nobody can reach too
        dataset, cache = Path(shutil.copytree(root, Path(folder) / "dataset")), Path(folder) / "cache"
        cache.mkdir()
        cache.chmod(0o777)
        Path(folder).chmod(0o755)
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        with read_only(dataset):
            prepared(moving(dataset))
            assert (cache_folder(dataset) / FILE).is_file()
            assert not moving(dataset).unprepared()
            assert moving(dataset).build("val", seed=0)[0, 0].motion_MYX3.shape == (60, 2, 2, 3)


def test_a_motion_file_that_cannot_be_written_beside_the_videos_lies_in_the_cache_folder(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    parts_of(root / FILE).write_bytes(b"in the way, as a full disk or a quota would be")
    make_motion(root, COARSE)
    assert (cache_folder(root) / FILE).is_file()
    assert "motion is kept in the cache folder instead: " in caplog.text
    assert not moving(root).unprepared()
    (tmp_path / "cache").rename(tmp_path / "other")
    (tmp_path / "cache").write_bytes(b"in the way, too")
    with pytest.raises(WriteError, match="cannot be written"):
        make_motion(root, COARSE)


@pytest.mark.long
def test_two_that_measure_at_once_without_locks_both_go_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    def again(done: int, total: int) -> None:
        if not (root / FILE).exists():
            make_motion(root, COARSE)

    monkeypatch.setattr(fcntl, "flock", flock)
    make_motion(root, COARSE, again)
    assert not moving(root).unprepared()


@pytest.mark.long
def test_a_damaged_motion_file_is_made_again(root: Path, counted: list[str]) -> None:
    make_motion(root, COARSE)
    (root / FILE).write_bytes((root / FILE).read_bytes()[:3000])
    assert moving(root).unprepared()
    make_motion(root, COARSE)
    assert len(counted) == 12
    assert moving(root).build("val", seed=0)[0, 0].motion_MYX3.shape == (60, 2, 2, 3)


@pytest.mark.long
def test_the_same_videos_give_the_same_bytes(root: Path, tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        write_motion(root, tmp_path / name, COARSE, processes=1 if name == "a.h5" else 2)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert not parts_of(tmp_path / "a.h5").exists()


def test_a_video_that_cannot_be_decoded_is_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = root / "videos/Subject08/0001.mp4"
    bad.write_bytes(bad.read_bytes()[:2000] + bytes(500) + bad.read_bytes()[2500:])
    prepared(moving(root))
    assert f"not measured: {bad}" in caplog.text
    assert not moving(root).unprepared()
    dataset = moving(root).build("val", seed=0)
    assert dataset[0, 0].motion_MYX3.shape == (60, 2, 2, 3)
    with pytest.raises(DataError, match=r"Subject08/0001, window at 0.000 s: .*0001\.mp4"):
        dataset[0, 5]


def test_interrupted_work_resumes(root: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_motion(root, root / FILE, COARSE, on_progress=stopped)
    assert not (root / FILE).exists()
    assert len(counted) == 4
    make_motion(root, COARSE)
    assert len(counted) == 6
    assert not parts_of(root / FILE).exists()


@pytest.mark.long
def test_a_killed_process_leaves_no_motion_file(root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from revalexo_clip.data.motion import Motion\n"
        "from revalexo_clip.data.revalexo.motion.build import make_motion\n"
        "make_motion(Path(sys.argv[1]), Motion(rows=2, columns=2, width=64))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(root)])
    give_up = time.monotonic() + 60
    while not list(parts_of(root / FILE).glob("[0-9a-f]*.npz")) and time.monotonic() < give_up:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (root / FILE).exists()
    make_motion(root, COARSE)
    assert moving(root).build("val", seed=0)[0, 0].motion_MYX3.shape == (60, 2, 2, 3)


def test_the_other_processes_of_a_run_wait_for_the_one_that_measures(
    root: Path, counted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lead() -> None:
        threading.Event().wait(0.3)
        prepared(moving(root))

    leader = threading.Thread(target=lead)
    leader.start()
    moving(root).prepare(lambda done, total: None, leader=False)
    assert find_motion(root, COARSE) is not None
    leader.join()
    assert len(counted) == 6
    monkeypatch.setattr(choose, "GRACE", 0.2)
    (root / FILE).unlink()
    moving(root).prepare(lambda done, total: None, leader=False)  # no leader: it goes on, and reading measures
    assert len(counted) == 6


@pytest.mark.long
def test_a_pack_alone_needs_its_motion_file_beside_it(root: Path, tmp_path: Path) -> None:
    pack(root)
    make_motion(root, COARSE)
    expected = moving(root, pack="auto").build("val", seed=0)[0, 4].motion_MYX3
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / NAME).rename(elsewhere / NAME)
    motion = (root / FILE).rename(elsewhere / FILE)
    root.rename(tmp_path / "gone")
    data = moving(root, pack=elsewhere / NAME)
    assert not data.unprepared()
    assert torch.equal(data.build("val", seed=0)[0, 4].motion_MYX3, expected)
    motion.unlink()
    with pytest.raises(DataError, match=rf"{FILE}.*, and the videos are missing"):
        data.build("val", seed=0)[0, 4]


@pytest.mark.long
def test_a_video_that_ends_early_cuts_the_windows(root: Path) -> None:
    """Windows lie in the time that IMU and video share; their last moments are measured, too."""
    write_video(root / "videos/Subject08/0000.mp4", steady(3.3), frames=coloured(frames(swaying, steady(3.3))))
    dataset = moving(root).build("val", seed=0)
    last = max(index for index in range(len(dataset)) if dataset.windows.clip_N[index] == 0)
    assert dataset.windows.start_N[last] == 1.0
    assert dataset[0, last].motion_MYX3[..., 2].min() > 0.1


@pytest.mark.long
def test_edges_of_clips_have_motion(root: Path) -> None:
    """The first and the last window of a clip; after the last frame, confidence falls to 0."""
    for name in ("0000", "0001"):
        write_video(root / f"videos/Subject08/{name}.mp4", steady(4.0), frames=coloured(frames(swaying, steady(4.0))))
    dataset = moving(root).build("val", seed=0)
    first, last = dataset[0, 0].motion_MYX3, dataset[0, 4].motion_MYX3
    assert first[..., 2].min() > 0.1
    assert last[:-1, ..., 2].min() > 0.1
    assert last[-1].abs().max() == 0  # the last frame begins at 3.967 s, and the window ends at 4 s


def test_a_gap_in_the_imu_changes_nothing_about_motion(root: Path) -> None:
    """A clip that becomes two entries of the index has one video."""
    rows = [f"{row / 60:.4f}," + ",".join(["1.0"] * 8) for row in range(240) if not 100 < row < 115]
    header = (root / "imu/Subject08/0000.csv").read_text().splitlines()[0]
    (root / "imu/Subject08/0000.csv").write_text("\n".join([header, *rows]) + "\n")
    fields = {"time": "time", "on_bad_time": "split", "min_duration": 1.0, "window": 1.0}
    description = json.loads((root / "data_pairs/Subject08.json").read_text())
    del description["pairs"]["0001"]
    (root / "data_pairs/Subject08.json").write_text(json.dumps(description))
    dataset = moving(root, **fields).build("val", seed=0)
    assert len(set(dataset.windows.clip_N.tolist())) == 2
    track = measure_video(root / "videos/Subject08/0000.mp4", COARSE)
    sample = dataset[0, len(dataset) - 1]
    np.testing.assert_allclose(sample.motion_MYX3, resample(track, sample.start.item(), COARSE.spec(1.0)), atol=1e-5)


def test_settings_that_cannot_work_are_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="frames=0 needs motion"):
        revalexo(root, frames=0)
    with pytest.raises(ValueError, match=r"no moment at motion.rate=0.1 Hz"):
        moving(root, motion=Motion(rate=0.1))
    assert file_name(COARSE) == FILE


def test_the_motion_of_a_real_video_follows_the_gyroscope(real: Path, tmp_path: Path) -> None:
    """Neon1 is not stabilised: turning the head moves the whole image, at the same time."""
    data = revalexo(
        Path(shutil.copytree(real, tmp_path / "real", copy_function=os.symlink)),
        channels=("acc_Head_*", "gyro_Head_*"),
        frames=0,
        motion=Motion(rate=60),
    )
    dataset = data.evaluating(("Neon1",)).build("test", seed=0)
    samples = [dataset[0, index] for index in range(0, len(dataset), 4)]
    right_n = np.concatenate([sample.motion_MYX3[..., 0].numpy().reshape(120, -1) for sample in samples]).mean(axis=1)
    turning_n = np.concatenate([sample.imu_LC[:, dataset.imu_spec.channels.index("gyro_Head_z")] for sample in samples])
    inside = slice(10, -10)
    by_lag = {lag: np.corrcoef(np.roll(right_n, -lag)[inside], turning_n[inside])[0, 1] for lag in range(-6, 7)}
    assert by_lag[0] > 0.95
    assert max(by_lag, key=lambda lag: by_lag[lag]) in {-1, 0, 1}
