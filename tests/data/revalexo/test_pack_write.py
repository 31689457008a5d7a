"""Writing packs: nothing is lost if a process is killed, and processes that pack at once complete each other."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.packs import ended, entries_of, in_child, killed_at_step, shards_of, windows_of, write_different
from support.tiny_dataset import CHANNELS, revalexo, write_dataset, write_imu

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import WriteError
from revalexo_clip.data.revalexo.check.command import check_data
from revalexo_clip.data.revalexo.pack import queue, write
from revalexo_clip.data.revalexo.pack.build import pack, parse_share
from revalexo_clip.data.revalexo.pack.entries import IMU, VIDEO
from revalexo_clip.data.revalexo.pack.find import NAME, find_pack
from revalexo_clip.data.revalexo.pack.folder import DESCRIPTION, MANIFEST, PARTS, SHARDS, open_pack, read_entries
from revalexo_clip.data.revalexo.pack.part import PackSettings
from revalexo_clip.data.revalexo.pack.write import write_pack


@pytest.fixture(scope="module")
def different(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of six clips that all differ; tests must not change it."""
    return write_different(tmp_path_factory.mktemp("different") / "dataset")


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let shards be so small that a pack has several."""
    for module in (write, queue):
        monkeypatch.setattr(module, "SHARD_BYTES", 30_000)
    monkeypatch.setattr(write, "BLOCK", 2)


@pytest.mark.long
def test_the_command_that_is_killed_at_any_moment_and_started_again_gives_the_same_shards(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    write_different(root, subjects=8)
    undisturbed, interrupted = shards_of(pack(root, tmp_path / "undisturbed", processes=1).path), 0
    for attempt in range(5):
        path = tmp_path / f"{attempt}"
        command = [sys.executable, "-m", "revalexo_clip", "pack", str(root), "--out", str(path), "--jobs", "2"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while process.poll() is None and len(list(path.glob(f"{PARTS}/*"))) < 8 * attempt:
            assert time.monotonic() < until
            time.sleep(0.002)
        process.kill()
        interrupted += process.wait() == -signal.SIGKILL
        assert pack(root, path, processes=1).clips == 16
        assert shards_of(path) == undisturbed
    assert interrupted >= 3


@pytest.mark.parametrize("kills", [8, pytest.param(200, marks=pytest.mark.long)])
@pytest.mark.usefixtures("small_shards")
def test_killed_again_and_again_nothing_is_lost_and_nothing_is_wrong(kills: int, tmp_path: Path) -> None:
    root, steps = write_different(tmp_path / "dataset", clips=1), np.random.default_rng(kills)
    whole = pack(root, tmp_path / "whole", processes=1).path
    shards, windows, killed = shards_of(whole), windows_of(root, pack=whole), 0
    while killed < kills:
        path = tmp_path / f"{killed}"
        while killed_at_step(root, path, int(steps.integers(0, 90))):
            killed += 1
            assert shards_of(path).items() <= shards.items(), "what is published is whole"
        assert shards_of(path) == shards
        assert entries_of(path) == entries_of(whole)
        if kills < 100:
            assert windows_of(root, pack=path) == windows
        assert pack(root, path, processes=1).encoded == 0
        shutil.rmtree(path)


@pytest.mark.long
@pytest.mark.parametrize("clips", [1, 4, 6])
def test_parts_that_are_finished_are_not_made_again(clips: int, different: Path, tmp_path: Path) -> None:
    path = tmp_path / "pack"

    class Killed(BaseException):
        pass

    def stop(done: int, total: int) -> None:
        assert total == 6
        if done >= clips:
            raise Killed

    with pytest.raises(Killed):
        write_pack(different, path, PackSettings(), processes=1, on_progress=stop)
    made = sorted((path / PARTS).iterdir())
    assert len(made) == 2 * clips
    assert not (path / DESCRIPTION).exists()
    made[0].write_bytes(b"PK\x03\x04 damaged")
    assert write_pack(different, path, PackSettings(), processes=1).encoded == 12 - 2 * clips + 1
    assert shards_of(path) == shards_of(pack(different, tmp_path / "whole", processes=2).path)


@pytest.mark.long
@pytest.mark.usefixtures("small_shards")
def test_two_processes_that_pack_at_once_give_the_same_and_lose_nothing(different: Path, tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    pack(different, alone, processes=1)
    children = [in_child(lambda: pack(different, together, processes=1)) for _ in range(2)]
    assert [ended(child) for child in children] == [0, 0]
    assert entries_of(together) == entries_of(alone)
    assert windows_of(different, pack=together) == windows_of(different, pack=alone)
    assert pack(different, together, processes=1).encoded == 0
    assert check_data(together).problems == ()
    assert not list(together.rglob(".writing*"))


@pytest.mark.long
@pytest.mark.usefixtures("small_shards")
def test_a_process_does_not_pack_what_another_has_published_in_the_meantime(different: Path, tmp_path: Path) -> None:
    path, counts = tmp_path / "pack", []

    def again(done: int, total: int) -> None:
        if done == 1:
            counts.append(write_pack(different, path, PackSettings(), processes=1).encoded)

    counts.append(write_pack(different, path, PackSettings(), processes=1, on_progress=again).encoded)
    assert sum(counts) <= 12 + 2
    assert entries_of(path) == entries_of(pack(different, tmp_path / "alone", processes=1).path)


@pytest.mark.long
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_shares_give_the_pack_in_any_order(order: tuple[int, ...], different: Path, tmp_path: Path) -> None:
    path = tmp_path / "pack"
    found = [pack(different, path, processes=1, share=(number, 3)) for number in order]
    assert [(one.encoded, one.missing) for one in found] == [(4, 4), (4, 2), (4, 0)]
    assert not pack(different, path, processes=1).made
    assert entries_of(path) == entries_of(pack(different, tmp_path / "alone", processes=1).path)


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/"])
def test_an_impossible_share_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=f"--shard {text}: write it as I/N"):
        parse_share(text)


def test_a_pack_that_does_not_fit_is_refused_before_anything_is_written(
    different: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(0, 0, 1000))
    with pytest.raises(
        WriteError, match=r"packing 6 videos of 0\.\d\d GB takes about 0\.\d\d GB, and 0\.00 GB are free there"
    ):
        pack(different, tmp_path / "pack", processes=1)
    assert not (tmp_path / "pack" / SHARDS).exists()


@pytest.fixture(params=[errno.ENOLCK, errno.EOPNOTSUPP])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system whose locks fail as those of network file systems do."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.long
@pytest.mark.usefixtures("no_locks")
def test_locks_are_not_needed(different: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert pack(different, tmp_path / "pack", processes=2).missing == 0
    assert "locks" not in caplog.text


def test_a_folder_that_cannot_be_flushed_holds_a_pack(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = os.fsync

    def files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    assert pack(root, tmp_path / "pack", processes=1).made


@pytest.mark.long
@pytest.mark.parametrize("processes", [1, 2])
def test_a_bad_file_ends_it_with_its_name_and_without_a_pack(processes: int, root: Path) -> None:
    video = root / "videos/Subject02/0001.mp4"
    video.write_bytes(video.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"Subject02/0001\.mp4: cannot be decoded as video"):
        pack(root, processes=processes)
    assert find_pack(root)[0] is None


def test_if_a_worker_dies_the_error_names_the_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(
        DataError, match=r"Subject0\d/000\d\.csv: the worker process died while reading it \(exit code 1\)"
    ):
        pack(root, processes=2)


def test_what_is_bad_can_be_skipped_and_is_read_from_its_own_files(root: Path) -> None:
    video, recording = root / "videos/Subject08/0001.mp4", root / "imu/Subject01/0000.csv"
    video.write_bytes(video.read_bytes()[:3000])
    recording.write_text(recording.read_text().replace("10.000", "nan", 1))
    subject = root / "data_pairs/Subject02.json"
    subject.write_text(subject.read_text().replace("walking", "wolking"))
    problems = write_pack(root, root / NAME, PackSettings(), processes=1, skip_bad=True).problems
    assert [problem.partition(": ")[0] for problem in problems] == [str(subject), str(recording), str(video)]
    assert find_pack(root)[0] is not None, "what is bad is remembered"
    assert write_pack(root, root / NAME, PackSettings(), processes=1, skip_bad=True).encoded == 0
    with pytest.raises(DataError, match=r"Subject08/0001\.mp4: cannot be decoded as video"):
        revalexo(root, pack=root / NAME, train_subjects=("01",)).build("val", seed=0)
    train = revalexo(root, pack=root / NAME, train_subjects=("01",)).build("train", seed=0)
    with pytest.raises(DataError, match=r"line \d+ .*'nan' is not a finite number"):
        _ = train[0, 0]
    for setting in (root / NAME, "auto"):
        with pytest.raises(DataError, match="wolking"):
            revalexo(root, pack=setting).build("train", seed=0)
    with pytest.raises(DataError, match="wolking"):
        pack(root, processes=1)
    subject.write_text(subject.read_text().replace("wolking", "walking"))
    with pytest.raises(DataError, match="'nan' is not a finite number"):
        pack(root, processes=1)


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
    assert pack(root, processes=1).missing == 0
    with pytest.raises(
        DataError, match=r"Subject02\.json: pairs\.0000: Subject02 has no video; leave this subject out"
    ):
        revalexo(root, pack="auto").build("train", seed=0)
    assert len(revalexo(root, pack="auto", train_subjects=("01",)).build("train", seed=0)) == 20


def test_columns_that_are_not_numeric_are_left_out_and_cannot_be_selected(written: Path) -> None:
    (header,) = open_pack(written / NAME).entries.headers
    assert header.columns == ("time", *CHANNELS)
    assert header.kept == CHANNELS
    for setting in ("off", "auto"):
        dataset = revalexo(written, pack=setting, channels=("acc_*", "time")).build("val", seed=0)
        with pytest.raises(DataError, match=r"0000\.csv: line 2 \(row 1\), column time: '10:00000' is not a number"):
            _ = dataset[0, 0]
        with pytest.raises(DataError, match=r"no column matches the channel pattern 'mag_\*'; columns: time, acc"):
            revalexo(written, pack=setting, channels=("mag_*",)).build("val", seed=0)


def test_a_pack_has_metadata(written: Path) -> None:
    described = json.loads((written / NAME / DESCRIPTION).read_text())
    assert {name: described[name] for name in ("kind", "format", "version", "short_side", "quality")} == {
        "kind": "revalexo_clip pack",
        "format": 4,
        "version": "0.1.0",
        "short_side": 256,
        "quality": 90,
    }
    (shard,) = (written / NAME / SHARDS).iterdir()
    with h5py.File(shard) as file:
        assert file.attrs["kind"] == "revalexo_clip shard"
        assert "libavcodec" in json.loads(file["about"][()].tobytes())["decoder"]
        assert set(file["entries/kind"][()].tolist()) == {IMU, VIDEO}
        np.testing.assert_allclose(file["frames/time"][:120], np.arange(120) / 30, atol=1e-9)
        assert bytes(file["frames/jpeg"][:2]) == b"\xff\xd8"
        for stored in (file["frames/jpeg"], file["imu/values"]):
            assert stored.chunks is None


def test_the_manifest_is_only_a_copy(different: Path, tmp_path: Path) -> None:
    path = pack(different, tmp_path / "pack", processes=1).path
    before = entries_of(path)
    (path / MANIFEST).write_bytes(b"no manifest")
    assert entries_of(path) == before
    pack(different, path, processes=1)
    assert read_entries(path)[0].shards.names == tuple(sorted(shards_of(path)))
    for shard in (path / SHARDS).iterdir():
        shard.unlink()
    assert entries_of(path) == {}
    assert pack(different, path, processes=1).encoded == 12
    assert entries_of(path) == before


@pytest.mark.long
def test_a_changed_recording_is_packed_again_and_nothing_else(root: Path) -> None:
    write_dataset(root)
    before = pack(root, processes=1).encoded
    assert before < 6, "clips with the same files share them"
    write_imu(root / "imu/Subject01/0000.csv", duration=3.5)
    assert pack(root, processes=1).encoded == 1
    values = open_pack(root / NAME).entries.ints("values")
    assert sorted(values.tolist())[-2:] == [210 * len(CHANNELS), 240 * len(CHANNELS)]
    assert len(values) == before + 1


def test_a_file_in_place_of_the_folder_is_an_error(root: Path, tmp_path: Path) -> None:
    (tmp_path / "pack").touch()
    with pytest.raises(DataError, match=r"pack: cannot be written: "):
        write_pack(root, tmp_path / "pack", PackSettings(), processes=1)


UNDER_A_LOADER_WORKER = """
import signal
from revalexo_clip.data.revalexo.pack.workers import Workers

signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as loader workers do; processes that they start inherit it
with Workers("revalexo_clip.data.revalexo.motion", 2):
    pass
print("ended")
"""


@pytest.mark.long
def test_processes_end_although_requests_to_end_are_ignored() -> None:
    said = subprocess.run(
        [sys.executable, "-c", UNDER_A_LOADER_WORKER], capture_output=True, text=True, timeout=120, check=True
    )
    assert said.stdout == "ended\n"
