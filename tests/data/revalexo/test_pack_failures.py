"""What happens to a pack when files or processes fail for a while, or change while it is written."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from support.packs import entries_of, windows_of, write_different

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import WriteError
from revalexo_clip.data.revalexo.check.command import check_data
from revalexo_clip.data.revalexo.pack import choose, part, workers
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.data.revalexo.pack.choose import wait_for
from revalexo_clip.data.revalexo.pack.entries import IMU
from revalexo_clip.data.revalexo.pack.file import PackError
from revalexo_clip.data.revalexo.pack.find import NAME
from revalexo_clip.data.revalexo.pack.folder import DESCRIPTION, PARTS, WRITERS, read_description, read_entries
from revalexo_clip.data.revalexo.pack.part import Job, PackSettings
from revalexo_clip.data.revalexo.pack.stamps import Stamp, full_stamp, merged, stamps_of
from revalexo_clip.data.revalexo.pack.workers import PassingError, Workers, serve
from revalexo_clip.data.revalexo.pack.write import write_pack
from revalexo_clip.data.revalexo.pack.writers import writing
from revalexo_clip.data.video import Shown, every_frame


@pytest.fixture
def different(tmp_path: Path) -> Path:
    """Return a dataset of three clips that all differ."""
    return write_different(tmp_path / "dataset", subjects=3, clips=1)


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "the disk is full")


@pytest.mark.parametrize("accompanied", [True, False])
def test_a_process_that_cannot_write_leaves_the_parts_of_others(
    accompanied: bool, different: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "pack" / PARTS / "of-another.npz"
    kept.parent.mkdir(parents=True)
    kept.touch()
    monkeypatch.setattr(np, "savez", full)
    if accompanied:
        with writing(tmp_path / "pack"), pytest.raises(WriteError, match="full"):
            write_pack(different, tmp_path / "pack", PackSettings(), processes=1)
    else:
        with pytest.raises(WriteError, match="full"):
            write_pack(different, tmp_path / "pack", PackSettings(), processes=1)
    assert kept.exists() == accompanied


def test_a_process_that_finds_no_space_beforehand_leaves_all_parts(
    different: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "pack" / PARTS / "of-an-earlier-run.npz"
    kept.parent.mkdir(parents=True)
    kept.touch()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(0, 0, 1000))
    with pytest.raises(WriteError, match="free some space"):
        write_pack(different, tmp_path / "pack", PackSettings(), processes=1)
    assert kept.exists()


def test_a_digest_counts_more_than_none_in_any_order() -> None:
    unread, read = (stamps_of([("a.csv", Stamp(size=1, changed=2, sha256=sha256))]) for sha256 in ("", "ab" * 32))
    for several in ([unread, read], [read, unread]):
        assert merged(several).digest_R.tolist() == read.digest_R.tolist()


def test_the_copies_are_the_json_files_as_they_were_read(different: Path, tmp_path: Path) -> None:
    path, alone = different / "data_pairs/Subject01.json", tmp_path / "alone"
    before = path.read_bytes()

    def edit(done: int, total: int) -> None:
        path.write_bytes(before.replace(b"walking", b"stairs_up"))

    write_pack(different, alone, PackSettings(), processes=1, on_progress=edit)
    assert check_data(alone).problems == ()
    path.write_bytes(before)
    windows = windows_of(different, pack=alone)
    shutil.rmtree(different)
    assert windows_of(different, pack=alone) == windows


@pytest.mark.parametrize("folder", [WRITERS, PARTS])
def test_folders_that_another_process_removes_are_made_again(
    folder: str, different: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Callable[..., object] = Path.open
    removed: list[Path] = []

    def after_removal(path: Path, *how: object, **options: object) -> object:
        if path.parent.name == folder and len(removed) < 3:
            path.parent.rmdir()
            removed.append(path.parent)
        return opened(path, *how, **options)

    monkeypatch.setattr(Path, "open", after_removal)
    assert write_pack(different, tmp_path / "pack", PackSettings(), processes=1).missing == 0
    assert len(removed) == 3


def test_signs_of_life_are_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "GRACE", 1.2)
    with writing(tmp_path / NAME) as sign:
        stopped = threading.Event()

        def touch() -> None:
            for beat in range(1, 6):
                stopped.wait(0.4)
                os.utime(sign, ns=(beat, beat))
            stopped.set()

        thread = threading.Thread(target=touch)
        thread.start()
        assert wait_for(stopped.is_set, [tmp_path / NAME])
        thread.join()


@pytest.mark.long
def test_without_its_folder_a_dataset_is_not_mixed_with_another_in_the_pack(different: Path, tmp_path: Path) -> None:
    """The labels are those of the dataset that was packed last, so samples of no other may be used with them."""
    other, both = Path(shutil.copytree(different, tmp_path / "other")), tmp_path / "both"
    for recording in (other / "imu").rglob("*.csv"):  # shorter than the first dataset's, and with other labels
        recording.write_text(recording.read_text().replace("10:", "9:"))
    label = other / "data_pairs/Subject01.json"
    label.write_text(label.read_text().replace("walking", "stairs_up"))
    pack(different, both, processes=1)
    pack(other, both, processes=1)
    pack(different, both, processes=1)
    first, second = windows_of(different, pack=both), windows_of(other, pack=both)
    assert first != second
    shutil.rmtree(other)
    with pytest.raises(PackError, match=r"has several files named imu/Subject\d\d/0000\.csv"):
        windows_of(other, pack=both)
    moved = different.rename(tmp_path / "moved")
    assert windows_of(different, pack=both) == first, "its own labels, and only its own stamps"
    assert windows_of(tmp_path / "never packed", pack=both) == first
    (both / DESCRIPTION).write_text(without_stamps(both))
    with pytest.raises(PackError, match="has several files named"):
        windows_of(tmp_path / "never packed", pack=both)
    pack(moved, both, processes=1)
    assert windows_of(tmp_path / "never packed", pack=both) == windows_of(moved, pack=both)


def without_stamps(path: Path) -> str:
    """Return a pack's description as it was before it named the stamps of its dataset."""
    return read_description(path).model_copy(update={"stamps": None}).summed().model_dump_json(exclude_none=True)


def test_a_file_that_changes_while_it_is_packed_is_packed_again(
    different: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, ask = different / "imu/Subject02/0000.csv", Workers.ask

    def changed_before(asked: Workers, job: Job) -> str | None:
        if job.file == path and path.stat().st_mtime_ns != 5:
            path.write_text(path.read_text() + "10:99999" + ",2.0" * 8 + "\n")
            os.utime(path, ns=(5, 5))
        return ask(asked, job)

    monkeypatch.setattr(Workers, "ask", changed_before)
    written = write_pack(different, tmp_path / "pack", PackSettings(), processes=1, skip_bad=True)
    assert (written.problems, written.missing) == ((), 0)
    assert read_entries(tmp_path / "pack")[0].problems == ()


@pytest.mark.long
def test_a_problem_that_may_pass_is_not_published(
    different: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, alone = different / "videos/Subject02/0000.mp4", tmp_path / "pack"
    failures = 1

    def flaky(file: Path, short_side: int) -> Iterator[Shown]:
        nonlocal failures
        if file == path and failures:
            failures -= 1
            raise DataError(f"{file}: cannot be decoded as video: Input/output error") from OSError(errno.EIO, "")
        return every_frame(file, short_side)

    monkeypatch.setattr(part, "every_frame", flaky)
    written = write_pack(different, alone, PackSettings(), processes=1, skip_bad=True)
    assert (written.problems, written.missing, read_entries(alone)[0].problems) == ((), 0, ())
    shutil.rmtree(alone)

    def unreadable(file: Path) -> Stamp:
        if file == path:
            raise DataError(f"{file}: cannot be read: Input/output error")
        return full_stamp(file)

    with monkeypatch.context() as for_a_while:
        failures = 1000
        for_a_while.setattr(part, "full_stamp", unreadable)
        written = write_pack(different, alone, PackSettings(), processes=1, skip_bad=True)
        assert written.problems == (f"{path}: cannot be decoded as video: Input/output error",)
        assert (written.missing, read_entries(alone)[0].problems) == (1, ())
        with pytest.raises(DataError, match="Input/output error"):
            write_pack(different, alone, PackSettings(), processes=1)
    failures = 0
    written = write_pack(different, alone, PackSettings(), processes=1, skip_bad=True)
    assert (written.problems, written.missing, written.encoded) == ((), 0, 1)
    assert len(entries_of(alone)) == 6


def test_workers_tell_what_may_pass(different: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = different / "imu/Subject01/0000.csv"
    stamp = full_stamp(file).model_copy(update={"changed": 5})
    job = Job(part=tmp_path / "part.npz", file=file, kind=IMU, stamp=stamp, pixels=PackSettings().pixels)
    answers = StringIO()
    serve(Job, StringIO(job.model_dump_json() + "\n"), answers)

    def answer(module: str, lock: int | None) -> subprocess.Popen[str]:
        command = ["sh", "-c", 'read job; echo "$0"', answers.getvalue().strip()]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")

    monkeypatch.setattr(workers, "_start", answer)
    with Workers(Job.module, 2) as two, pytest.raises(PassingError, match="was changed while it was being packed"):
        two.ask(job)
