"""Writing packs: the bytes are the same even after interruptions, and an incomplete pack never looks complete."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.tiny_dataset import CHANNELS, revalexo, write_dataset, write_imu

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.revalexo.pack import write
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.data.revalexo.pack.choose import prepare_pack
from revalexo_clip.data.revalexo.pack.file import PackTables
from revalexo_clip.data.revalexo.pack.find import NAME
from revalexo_clip.data.revalexo.pack.part import PackSettings
from revalexo_clip.data.revalexo.pack.write import BusyError, parts_of, write_pack


def start(root: Path, out: Path, jobs: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "revalexo_clip", "pack", str(root), "--out", str(out), "--jobs", str(jobs)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while not condition() and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.002)


@pytest.mark.long
@pytest.mark.slow
def test_killed_at_any_moment_and_started_again_it_gives_the_same_file(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    write_dataset(root, tuple(f"Subject{number:02d}" for number in range(1, 9)))
    undisturbed = pack(root, tmp_path / "undisturbed.h5", processes=1).path.read_bytes()
    moment, interrupted = random.Random(os.getpid()), 0
    for attempt in range(5):
        file = tmp_path / f"{attempt}.h5"
        parts = moment.randint(0, 16)
        process = start(root, file, jobs=1 + attempt % 2)
        wait_for(lambda: len(list(parts_of(file).glob("0*"))) >= parts and parts_of(file).exists(), process)  # noqa: B023
        time.sleep(moment.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        interrupted += process.wait() == -signal.SIGKILL
        assert not file.exists() or file.read_bytes() == undisturbed, (attempt, parts)
        assert pack(root, file, processes=1).clips == 16
        assert file.read_bytes() == undisturbed, (attempt, parts)
        assert not parts_of(file).exists()
    assert interrupted >= 3


@pytest.mark.parametrize("parts", [0, 1, 4, 6])
def test_parts_that_are_finished_are_not_made_again(parts: int, root: Path, tmp_path: Path) -> None:
    whole, file = pack(root, tmp_path / "whole.h5").path, tmp_path / "pack.h5"

    class Killed(BaseException):
        pass

    def stop(done: int, total: int) -> None:
        assert total == 6
        if done >= parts:
            raise Killed

    with pytest.raises(Killed):
        write_pack(root, file, PackSettings(), processes=1, on_progress=stop)
    made = {part.name: part.stat().st_mtime_ns for part in parts_of(file).iterdir()}
    assert len(made) == max(parts, 1)
    assert not file.exists()
    (parts_of(file) / ".123-000003.npz").write_bytes(b"half a par")
    (parts_of(file) / f"{write.ASSEMBLED}host-1").write_bytes(b"half a pack")
    seen: dict[str, int] = {}

    def look(done: int, total: int) -> None:
        seen.update({part.name: part.stat().st_mtime_ns for part in parts_of(file).glob("0*")})

    write_pack(root, file, PackSettings(), processes=1, on_progress=look)
    assert {name: seen[name] for name in made} == made
    assert file.read_bytes() == whole.read_bytes()


def test_parts_of_other_sources_or_settings_are_made_again(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "pack.h5"
    (root / "imu/Subject08/0001.csv").rename(tmp_path / "kept.csv")
    (root / "imu/Subject08/0001.csv").write_text("acc_Pelvis_x\n")
    with pytest.raises(DataError, match=r"0001\.csv: has a header but no samples"):
        write_pack(root, file, PackSettings(), processes=1)
    assert len(list(parts_of(file).iterdir())) == 5
    shutil.copyfile(tmp_path / "kept.csv", root / "imu/Subject08/0001.csv")
    write_imu(root / "imu/Subject01/0000.csv", duration=3.5)
    next(parts_of(file).iterdir()).write_bytes(b"PK\x03\x04 damaged")
    write_pack(root, file, PackSettings(quality=80), processes=1)
    whole = tmp_path / "whole.h5"
    write_pack(root, whole, PackSettings(quality=80), processes=2)
    assert file.read_bytes() == whole.read_bytes()
    assert PackTables(file).ints("clips/first_value")[1] == 210 * len(CHANNELS)


def test_two_cannot_make_one_pack_at_once(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "PATIENCE", 0.2)

    def again(done: int, total: int) -> None:
        with pytest.raises(BusyError, match=r"pack.h5.parts: another process is writing to it; wait for it"):
            write_pack(root, tmp_path / "pack.h5", PackSettings(), processes=1)

    write_pack(root, tmp_path / "pack.h5", PackSettings(), processes=1, on_progress=again)
    assert (tmp_path / "pack.h5").is_file()


@pytest.fixture(params=[errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system whose locks fail as those of network file systems do."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.usefixtures("no_locks")
def test_a_dataset_on_a_file_system_without_locks_is_packed(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_pack(root, tmp_path / "pack.h5", PackSettings(), processes=2)
    assert len(PackTables(tmp_path / "pack.h5")) == 6
    assert not parts_of(tmp_path / "pack.h5").exists()
    assert caplog.text.count("the file system has no locks") == 1


@pytest.mark.usefixtures("no_locks")
def test_two_that_pack_at_once_without_locks_both_go_on(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    def again(done: int, total: int) -> None:
        if not (root / NAME).exists():
            prepare_pack(root, 64, lambda done, total: None, leader=True)

    prepare_pack(root, 64, again, leader=True)
    assert not pack(root).made
    assert "could not be written" not in caplog.text


def test_a_folder_that_cannot_be_flushed_holds_a_pack(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = os.fsync

    def files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    assert pack(root, tmp_path / "pack.h5", processes=1).made


@pytest.mark.parametrize("processes", [1, 2])
def test_a_bad_file_ends_it_with_its_name_and_without_a_pack(processes: int, root: Path) -> None:
    video = root / "videos/Subject02/0001.mp4"
    video.write_bytes(video.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"Subject02/0001\.mp4: cannot be decoded as video"):
        pack(root, processes=processes)
    assert not (root / NAME).exists()


def test_if_a_worker_dies_the_error_names_the_clip(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(
        DataError, match=r"Subject0\d/000\d\.mp4: the worker process died while reading it \(exit code 1\)"
    ):
        pack(root, processes=2)


def test_what_is_bad_can_be_skipped_and_is_read_from_its_own_files(root: Path) -> None:
    video, recording = root / "videos/Subject08/0001.mp4", root / "imu/Subject01/0000.csv"
    video.write_bytes(video.read_bytes()[:3000])
    recording.write_text(recording.read_text().replace("10.000", "nan", 1))
    subject = root / "data_pairs/Subject02.json"
    subject.write_text(subject.read_text().replace("walking", "wolking"))
    problems = write_pack(root, root / NAME, PackSettings(), processes=1, skip_bad=True)
    assert [problem.partition(": ")[0] for problem in problems] == [str(subject), str(recording), str(video)]
    with pytest.raises(DataError, match=r"Subject08/0001\.mp4: cannot be decoded as video"):
        revalexo(root, pack=root / NAME, train_subjects=("01",)).build("val", seed=0)
    train = revalexo(root, pack=root / NAME, train_subjects=("01",)).build("train", seed=0)
    with pytest.raises(DataError, match=r"line \d+ .*'nan' is not a finite number"):
        _ = train[0, 0]
    with pytest.raises(DataError, match="has no clips of Subject02, because the subject's JSON file was invalid"):
        revalexo(root, pack=root / NAME).build("train", seed=0)
    with pytest.raises(DataError, match="wolking"):
        revalexo(root, pack="auto").build("train", seed=0)


def test_a_missing_file_that_may_be_skipped_is_missed_when_its_clip_is_used(root: Path) -> None:
    (root / "videos/Subject08/0001.mp4").unlink()
    write_pack(root, root / NAME, PackSettings(), processes=1, skip_bad=True)
    revalexo(root, pack="auto").build("train", seed=0)
    with pytest.raises(DataError, match=r"0001\.mp4: the video of Subject08/0001 is missing"):
        revalexo(root, pack="auto").build("val", seed=0)


def test_subjects_without_video_are_packed_and_cannot_be_paired(root: Path) -> None:
    described = json.loads((root / "data_pairs/Subject02.json").read_text())
    del described["video_folder"]
    (root / "data_pairs/Subject02.json").write_text(json.dumps(described))
    shutil.rmtree(root / "videos/Subject02")
    tables = PackTables(pack(root).path)
    assert len(tables) == 6
    frames, values = (np.diff(tables.ints(f"clips/first_{what}")) for what in ("frame", "value"))
    assert frames.tolist() == [120, 120, 0, 0, 120, 120]
    assert values.tolist() == [240 * len(CHANNELS)] * 6
    with pytest.raises(
        DataError, match=r"Subject02\.json: pairs\.0000: Subject02 has no video; leave this subject out"
    ):
        revalexo(root, pack="auto").build("train", seed=0)
    assert len(revalexo(root, pack="auto", train_subjects=("01",)).build("train", seed=0)) == 20


def test_columns_that_are_not_numeric_are_left_out_and_cannot_be_selected(written: Path) -> None:
    header = PackTables(written / NAME).about.headers[0]
    assert header.columns == ("time", *CHANNELS)
    assert header.kept == CHANNELS
    for setting in ("off", "auto"):
        dataset = revalexo(written, pack=setting, channels=("acc_*", "time")).build("val", seed=0)
        with pytest.raises(DataError, match=r"0000\.csv: line 2 \(row 1\), column time: '10:00000' is not a number"):
            _ = dataset[0, 0]
        with pytest.raises(DataError, match=r"no column matches the channel pattern 'mag_\*'; columns: time, acc"):
            revalexo(written, pack=setting, channels=("mag_*",)).build("val", seed=0)


def test_a_pack_has_metadata(written: Path) -> None:
    with h5py.File(written / NAME) as file:
        assert len(file.attrs["sha256"]) == 64
        assert {name: value for name, value in file.attrs.items() if name != "sha256"} == {
            "kind": "revalexo_clip pack",
            "format": 3,
            "version": "0.1.0",
            "short_side": 256,
            "quality": 90,
        }
        times = file["frames/time"][:120]
        np.testing.assert_allclose(times, np.arange(120) / 30, atol=1e-9)
        assert bytes(file["frames/jpeg"][:2]) == b"\xff\xd8"
        for stored in (file["frames/jpeg"], file["imu/values"]):
            assert stored.chunks is None


def test_parts_are_removed_if_the_disk_is_full(root: Path, tmp_path: Path) -> None:
    (tmp_path / "pack.h5").mkdir()
    with pytest.raises(DataError, match=r"pack\.h5: cannot be written: Is a directory"):
        write_pack(root, tmp_path / "pack.h5", PackSettings(), processes=1)
    assert not parts_of(tmp_path / "pack.h5").exists()
