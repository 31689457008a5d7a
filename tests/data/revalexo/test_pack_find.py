"""Which pack is used: never one that is out of date; and if none is used, there is a warning."""

from __future__ import annotations

import errno
import json
import logging
import os
import pwd
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import h5py
import pytest
from support.many_clips import SETTINGS, pack_many, write_many
from support.read_only import read_only
from support.tiny_dataset import revalexo, source_of, write_imu

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.data.revalexo.pack import choose
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.data.revalexo.pack.file import PackError
from revalexo_clip.data.revalexo.pack.find import NAME, OLD_NAME, cache_folder, default_path, find_pack
from revalexo_clip.data.revalexo.pack.folder import DESCRIPTION, MANIFEST, SHARDS, open_pack


def quiet(done: int, total: int) -> None:
    """Ignore progress."""


@pytest.fixture
def packed(written: Path, tmp_path: Path) -> Path:
    """Return a copy of the tiny dataset and its pack, which a test may change."""
    return Path(shutil.copytree(written, tmp_path / "packed"))


def touch(root: Path) -> None:
    os.utime(root / "videos/Subject08/0000.mp4", ns=(1, 1))


def change_imu(root: Path) -> None:
    write_imu(root / "imu/Subject08/0000.csv", duration=3.9)


def change_imu_but_not_its_size(root: Path) -> None:
    path = root / "imu/Subject08/0000.csv"
    path.write_text(path.read_text().replace("7.000", "8.000", 1))


def add_subject(root: Path) -> None:
    text = (root / "data_pairs/Subject08.json").read_text()
    (root / "data_pairs/Subject10.json").write_text(text.replace("Subject08", "Subject10"))


def remove_video(root: Path) -> None:
    (root / "videos/Subject08/0001.mp4").unlink()


def shard_of(root: Path) -> Path:
    (shard,) = (root / NAME / SHARDS).iterdir()
    return shard


def truncate(root: Path) -> None:
    shard_of(root).write_bytes(shard_of(root).read_bytes()[:-5000])


def garbage(root: Path) -> None:
    (root / NAME / DESCRIPTION).write_bytes(b"\x00garbage" * 1000)


def empty(root: Path) -> None:
    (root / NAME / DESCRIPTION).write_bytes(b"")


def older_format(root: Path) -> None:
    shutil.rmtree(root / NAME)
    with h5py.File(root / OLD_NAME, "w") as file:
        file.attrs.update(kind="revalexo_clip pack", format=3, version="0.1.0")


def later_format(root: Path) -> None:
    described = json.loads((root / NAME / DESCRIPTION).read_text())
    (root / NAME / DESCRIPTION).write_text(json.dumps({**described, "format": 9, "version": "9.9", "new": 1}))


def other_settings(root: Path) -> None:
    described = json.loads((root / NAME / DESCRIPTION).read_text())
    (root / NAME / DESCRIPTION).write_text(json.dumps({**described, "quality": 91}))


def lacks_a_shard(root: Path) -> None:
    shard_of(root).unlink()


def damaged_table(root: Path) -> None:
    (root / NAME / MANIFEST).unlink()
    with h5py.File(shard_of(root), "r+") as file:
        file["entries/frames"][1] = 10**12


def smaller(root: Path) -> None:
    pack(root, short_side=24)


Change = Callable[[Path], None]
CHANGES: list[tuple[Change, str]] = [
    (change_imu, r"is out of date.*imu/Subject08/0000\.csv was changed"),
    (change_imu_but_not_its_size, r"is out of date.*imu/Subject08/0000\.csv was changed"),
    (add_subject, r"is out of date: .*imu/Subject10/0000\.csv is not packed, or it belongs to another dataset"),
    (remove_video, r"is out of date.*0001\.mp4 is missing"),
    (truncate, r"shards/.*\.h5: is incomplete or corrupt: it has \d+ bytes, not \d+"),
    (garbage, r"rxclip-pack: is not a pack, or pack\.json is corrupt"),
    (empty, r"rxclip-pack: is not a pack, or pack\.json is corrupt"),
    (other_settings, r"rxclip-pack: is not a pack, or pack\.json is corrupt \(checksum mismatch\)"),
    (older_format, r"rxclip-pack: there is no such pack"),
    (
        later_format,
        r"has pack format 9 \(written by revalexo_clip 9\.9\), but this version reads format 4; run `rxclip pack`",
    ),
    (lacks_a_shard, r"is out of date: .*000\d\.(csv|mp4) is not packed"),
    (damaged_table, r"shards/.*\.h5: is incomplete or corrupt \(its tables are corrupt: checksum mismatch\)"),
    (smaller, r"frames is 24 px, less than data\.short_side \(36 px\); make it again: rxclip pack .* --short-side 36"),
]


@pytest.mark.parametrize(("change", "says"), CHANGES, ids=lambda value: getattr(value, "__name__", ""))
def test_an_unusable_pack_is_an_error_if_named_and_otherwise_ignored_and_rebuilt(
    change: Change, says: str, packed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(packed)
    with pytest.raises(PackError, match=says):
        revalexo(packed, pack=packed / NAME, val_subjects=("10" if change is add_subject else "08",)).build("val", 0)
    automatic = revalexo(packed, pack="auto")
    if change is not remove_video and change is not add_subject:
        assert source_of(automatic.build("val", seed=0)) == "RawFiles"
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert sum(warning.startswith("pack not used: ") for warning in warnings) == 1
    assert automatic.unprepared() == (change is not smaller)
    if change is not add_subject:
        automatic.prepare(quiet, leader=True)
        assert not automatic.unprepared()


def test_a_copy_is_up_to_date_although_all_its_times_are_new(packed: Path, tmp_path: Path) -> None:
    for path in packed.rglob("*.*"):
        os.utime(path, ns=(1, 1))
    assert source_of(revalexo(packed, pack=packed / NAME).build("val", seed=0)) == "PackedFiles"
    assert not pack(packed).made


def test_a_change_to_subjects_that_are_not_used_does_not_matter_until_something_is_packed(packed: Path) -> None:
    change_imu(packed)
    assert source_of(revalexo(packed, pack="auto").build("train", seed=0)) == "PackedFiles"
    assert source_of(revalexo(packed, pack="auto").build("val", seed=0)) == "RawFiles"


def test_off_reads_the_files_and_a_named_pack_that_is_not_there_is_an_error(packed: Path) -> None:
    assert source_of(revalexo(packed, pack="off").build("val", seed=0)) == "RawFiles"
    assert not revalexo(packed, pack="off").unprepared()
    with pytest.raises(PackError, match=r"other: there is no such pack"):
        revalexo(packed, pack=packed / "other").build("val", seed=0)


def test_a_pack_of_another_dataset_is_refused(packed: Path, distinct: Path) -> None:
    with pytest.raises(PackError, match="or it belongs to another dataset"):
        revalexo(packed, pack=distinct / NAME).build("val", seed=0)


def test_a_named_pack_works_without_the_original_files(
    written: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alone = Path(shutil.copytree(written / NAME, tmp_path / "alone"))
    dataset = revalexo(tmp_path / "nowhere", pack=alone).build("val", seed=0)
    assert dataset[0, 3].video_THWC.shape == (4, 36, 36, 3)
    assert dataset.fingerprint() == revalexo(written).build("val", seed=0).fingerprint()
    assert "may be out of date: this cannot be checked" in caplog.text


@pytest.mark.parametrize("setting", ["off", "auto", "named"])
def test_subjects_and_durations_are_chosen_as_from_the_files(setting: str, packed: Path) -> None:
    value = packed / NAME if setting == "named" else setting
    with pytest.raises(
        DataError, match=r"subject '03' is not in the dataset; available subjects: Subject01, Subject02, S"
    ):
        revalexo(packed, pack=value, val_subjects=("03",)).build("val", seed=0)
    with pytest.raises(DataError, match=r"no clip of Subject08 lasts at least 4.5 s \(2 are shorter; lower"):
        revalexo(packed, pack=value, min_duration=4.5).build("val", seed=0)
    dataset = revalexo(packed, pack=value, train_subjects=("Subject02",)).build("train", seed=0)
    assert dataset.clip_names == ("Subject02/0000", "Subject02/0001")


def test_the_pack_of_a_read_only_dataset_lies_in_the_cache_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with TemporaryDirectory() as folder:  # one that nobody can reach too
        dataset = Path(shutil.copytree(root, Path(folder) / "dataset"))
        cache = Path(folder) / "cache"
        cache.mkdir()
        cache.chmod(0o777)
        Path(folder).chmod(0o755)
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        with read_only(dataset):
            assert default_path(dataset) == cache_folder(dataset) / NAME
            revalexo(dataset, pack="auto").prepare(quiet, leader=True)
            assert source_of(revalexo(dataset, pack="auto").build("val", seed=0)) == "PackedFiles"
            assert not pack(dataset).made
        assert [path.parent.name for path in cache.rglob(DESCRIPTION)] == [NAME]
        assert not (dataset / NAME).exists()
        shutil.rmtree(cache / "revalexo_clip")
        cache.chmod(0o555)
        with read_only(dataset):
            revalexo(dataset, pack="auto").prepare(quiet, leader=True)
        assert "the pack could not be written, so loading will be slow: " in caplog.text


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.ENOSPC, errno.EIO])
def test_the_pack_of_a_dataset_over_its_quota_lies_in_the_cache_folder(
    number: int, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touch(path: Path, *arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(Path, "touch", touch)
    revalexo(root, pack="auto").prepare(quiet, leader=True)
    assert (cache_folder(root) / NAME).is_dir()
    assert source_of(revalexo(root, pack="auto").build("val", seed=0)) == "PackedFiles"


def test_a_home_that_is_missing_or_closed_is_no_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", dict[int, pwd.struct_passwd]().__getitem__)
    assert cache_folder(root).is_relative_to(gettempdir())
    with TemporaryDirectory() as folder:  # one that nobody can reach too
        dataset = Path(shutil.copytree(root, Path(folder) / "dataset"))
        closed = Path(folder) / "home"
        (closed / "cache").mkdir(parents=True)
        closed.chmod(0o000)
        Path(folder).chmod(0o755)
        monkeypatch.setenv("XDG_CACHE_HOME", str(closed / "cache"))
        with read_only(dataset):
            assert find_pack(dataset) == (None, None)
            revalexo(dataset, pack="auto").prepare(quiet, leader=True)
            assert source_of(revalexo(dataset, pack="auto").build("val", seed=0)) == "RawFiles"
        closed.chmod(0o700)


def test_the_other_processes_of_a_run_wait_for_the_one_that_packs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[float] = []

    def slowly(done: int, total: int) -> None:
        made.append(threading.Event().wait(0.05))

    def lead(on_progress: OnProgress) -> None:
        revalexo(root, pack="auto").prepare(on_progress, leader=True)

    leader = threading.Thread(target=lead, args=(slowly,))
    leader.start()
    revalexo(root, pack="auto").prepare(quiet, leader=False)
    assert find_pack(root)[0] is not None
    assert len(made) == 6
    leader.join()
    shutil.rmtree(root / NAME)
    monkeypatch.setattr(choose, "GRACE", 0.3)
    revalexo(root, pack="auto").prepare(quiet, leader=False)
    assert find_pack(root) == (None, None)


@pytest.mark.long
def test_twenty_thousand_clips_are_opened_in_seconds(tmp_path: Path) -> None:
    import time

    write_many(tmp_path, 20_000)
    pack_many(tmp_path)
    subjects = tuple(f"s{number}" for number in range(9))
    fields = {"train_subjects": subjects, "val_subjects": ("s9",), "min_duration": 0.3, "window": 0.3}
    # The second start takes 1 s of CPU on a fast machine and 6 s on a slow one; a million clips: benchmarks/scale.
    for setting, limit in (("auto", 60.0), ("auto", 30.0), ("off", 120.0), ("off", 80.0)):
        begun = time.process_time()
        data = revalexo(tmp_path, pack=setting, short_side=SETTINGS.short_side, crop=8, **fields)
        assert not data.unprepared()
        train, val = data.build("train", seed=0), data.build("val", seed=0)
        sample = train[0, 179_999]
        assert time.process_time() - begun < limit
        assert source_of(train) == ("PackedFiles" if setting == "auto" else "RawFiles")
        assert (len(train.clip_names), len(val.clip_names)) == (18_000, 2_000)
        assert sample.video_THWC.shape == (4, 8, 11, 3)
    assert len(open_pack(tmp_path / NAME).entries) == 2


def test_a_pack_of_an_older_format_is_named_and_made_anew(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with h5py.File(root / OLD_NAME, "w") as file:
        file.attrs.update(kind="revalexo_clip pack", format=3, version="0.1.0")
    automatic = revalexo(root, pack="auto")
    assert source_of(automatic.build("val", seed=0)) == "RawFiles"
    assert "has pack format 3 (written by revalexo_clip 0.1.0), but this version reads format 4; run" in caplog.text
    with pytest.raises(PackError, match="has pack format 3 "):
        revalexo(root, pack=root / OLD_NAME).build("val", seed=0)
    automatic.prepare(quiet, leader=True)
    assert source_of(automatic.build("val", seed=0)) == "PackedFiles"


def test_copies_of_the_json_files_are_verified_if_they_are_used(written: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(written / NAME, tmp_path / "alone"))
    copy = alone / "dataset/data_pairs/Subject08.json"
    copy.write_text(copy.read_text().replace("walking", "standing", 1))
    with pytest.raises(PackError, match=r"Subject08\.json: is corrupt: it is not the JSON file that was packed"):
        revalexo(tmp_path / "nowhere", pack=alone).build("val", seed=0)
