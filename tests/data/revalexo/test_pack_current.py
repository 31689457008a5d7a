"""Only what is new is packed, and a file is read again only if its time has changed, and then once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.packs import FIELDS, add_subject, entries_of, shards_of, windows_of, write_different
from support.tiny_dataset import revalexo, source_of

from revalexo_clip.core.files import sha256_of
from revalexo_clip.data.revalexo.pack import current, find, stamps
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.data.revalexo.pack.entries import IMU, VIDEO, Finder, beginnings
from revalexo_clip.data.revalexo.pack.find import NAME, cache_folder, find_pack
from revalexo_clip.data.revalexo.pack.folder import STAMPS
from revalexo_clip.data.revalexo.pack.stamps import Stamp, Stamps, encoded, look, read_stamps, stamps_of, write_stamps


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    root = write_different(tmp_path / "dataset")
    assert pack(root, processes=1).encoded == 12
    return root


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the files that are read to find their digest."""
    names = list[str]()

    def noted(path: Path) -> str:
        if path.suffix in {".mp4", ".csv"}:
            names.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(stamps, "sha256_of", noted)
    return names


def test_a_label_edit_packs_nothing_and_counts_at_once(packed: Path, hashed: list[str]) -> None:
    before, shards = windows_of(packed, pack="auto"), shards_of(packed / NAME)
    path = packed / "data_pairs/Subject01.json"
    path.write_text(path.read_text().replace("walking", "stairs_up"))
    data = revalexo(packed, pack="auto", **FIELDS)
    assert not data.unprepared()
    assert source_of(data.build("train", seed=0)) == "PackedFiles"
    after = windows_of(packed, pack="auto")
    assert after != before
    found = pack(packed, processes=1)
    assert (found.encoded, hashed) == (0, [])
    assert shards_of(packed / NAME) == shards
    assert windows_of(packed, pack="auto") == after
    shutil.move(packed / NAME, packed.with_name("alone"))
    shutil.rmtree(packed)
    assert windows_of(packed, pack=packed.with_name("alone")) == after, "the pack has the new labels, too"


def test_a_new_subject_is_packed_and_nobody_else(packed: Path, hashed: list[str]) -> None:
    shards = shards_of(packed / NAME)
    add_subject(packed, 4)
    assert revalexo(packed, pack="auto", **FIELDS).unprepared()
    assert source_of(revalexo(packed, pack="auto", **FIELDS).build("train", seed=0)) == "PackedFiles"
    found = pack(packed, processes=1)
    assert found.encoded == 4
    assert sorted(hashed) == ["0000.csv", "0000.mp4", "0001.csv", "0001.mp4"]
    assert shards.items() < shards_of(packed / NAME).items()


@pytest.mark.long
def test_other_settings_are_added_and_the_first_ones_stay(packed: Path) -> None:
    before = entries_of(packed / NAME)
    assert pack(packed, processes=1, short_side=10).encoded == 6, "samples do not depend on pixels"
    assert before.items() < entries_of(packed / NAME).items()
    assert pack(packed, processes=1).encoded == 0


def test_a_renamed_and_a_restored_file_are_found_by_their_content(packed: Path) -> None:
    (packed / "videos/Subject01").rename(packed / "videos/other")
    path = packed / "data_pairs/Subject01.json"
    path.write_text(path.read_text().replace("videos/Subject01", "videos/other"))
    assert find_pack(packed)[0] is None
    assert pack(packed, processes=1).encoded == 0
    assert find_pack(packed)[0] is not None


@pytest.mark.long
def test_a_copied_dataset_is_hashed_once_and_not_at_every_start(
    packed: Path, tmp_path: Path, hashed: list[str]
) -> None:
    copy = Path(shutil.copytree(packed, tmp_path / "copy", copy_function=shutil.copyfile))
    windows = windows_of(packed, pack="auto")
    assert hashed == []
    assert not revalexo(copy, pack="auto", **FIELDS).unprepared()
    assert len(hashed) == 12
    assert windows_of(copy, pack="auto") == windows
    assert not revalexo(copy, pack="auto", **FIELDS).unprepared()
    assert pack(copy, processes=1).encoded == 0
    assert windows_of(packed, pack="auto") == windows
    assert len(hashed) == 12


def test_a_copy_that_keeps_times_is_not_hashed_at_all(packed: Path, tmp_path: Path, hashed: list[str]) -> None:
    copy = Path(shutil.copytree(packed, tmp_path / "copy"))
    assert windows_of(copy, pack="auto") == windows_of(packed, pack="auto")
    assert hashed == []


def test_stamps_of_a_pack_that_is_read_only_lie_in_the_cache_folder(
    packed: Path, monkeypatch: pytest.MonkeyPatch, hashed: list[str]
) -> None:
    def refuse(folder: Path, root: Path, found: Stamps) -> Path:
        if folder.is_relative_to(packed):
            raise PermissionError
        return write_stamps(folder, root, found)

    monkeypatch.setattr(find, "write_stamps", refuse)
    for path in packed.rglob("*.mp4"):
        os.utime(path, ns=(1, 1))
    for _ in range(2):
        assert find_pack(packed)[0] is not None
        assert len(hashed) == 6
    assert len(list((cache_folder(packed) / STAMPS).iterdir())) == 1


def test_damaged_stamps_are_made_anew(packed: Path, hashed: list[str]) -> None:
    (file,) = (packed / NAME / STAMPS).iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    assert find_pack(packed)[0] is None
    assert pack(packed, processes=1).encoded == 0
    assert len(hashed) == 12
    assert find_pack(packed)[0] is not None


def test_files_are_looked_at_once_for_a_run(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = list[str]()

    def noted(path: str) -> tuple[int, int]:
        looked.append(path)
        return look(path)

    monkeypatch.setattr(current, "look", noted)
    data = revalexo(packed, pack="auto", **FIELDS)
    assert not data.unprepared()
    for split in ("train", "val"):
        data.build(split, seed=0)
    assert len(looked) == 12, "two files of each of six clips"


@pytest.mark.long
@settings(max_examples=50, deadline=None)
@example([("a", 0, 0, 1), ("a", 0, 0, 0)])
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(-1, 2), st.integers(0, 2), st.integers(0, 3)), max_size=12)
)
def test_stamps_are_those_of_a_dictionary(rows: list[tuple[str, int, int, int]]) -> None:
    plain, table = {}, stamps_of([])
    for path, size, changed, content in rows:
        if content or (path, size, changed) not in plain:  # 0: the file could not be read, which no digest gives way to
            plain[path, size, changed] = f"{content:064x}"
        table = table.with_rows([(path, Stamp(size=size, changed=changed, sha256=f"{content:064x}"))])
    for path in "abc":
        for size in range(-1, 3):
            for changed in range(3):
                (row,) = table.find(encoded([path]), np.array([size]), np.array([changed])).tolist()
                found = table.digest_R[row].tobytes().hex() if row >= 0 else None
                assert found == plain.get((path, size, changed))
            (row,) = table.find(encoded([path]), np.array([size]), None).tolist()
            assert (row >= 0) == any(key[:2] == (path, size) for key in plain)
        (row,) = table.latest(encoded([path])).tolist()
        assert (row >= 0) == any(key[0] == path for key in plain)


def test_entries_are_found_by_whole_digests() -> None:
    digest_N = np.zeros((5, 32), np.uint8)
    digest_N[1, 0], digest_N[2, 31], digest_N[3, 30], digest_N[4, 7] = 1, 1, 1, 1
    order = np.argsort(beginnings(digest_N), kind="stable")
    finder = Finder(beginnings(digest_N)[order], digest_N[order], order)
    assert finder.find(digest_N).tolist() == [0, 1, 2, 3, 4]
    assert finder.find(np.full((1, 32), 7, np.uint8)).tolist() == [-1]
    assert finder.find(np.zeros((0, 32), np.uint8)).tolist() == []
    assert Finder(beginnings(digest_N[:0]), digest_N[:0], order[:0]).find(digest_N).tolist() == [-1] * 5
    assert (IMU, VIDEO) == (0, 1)


def test_paths_of_stamps_are_any_text(tmp_path: Path) -> None:
    write_stamps(
        tmp_path / STAMPS, tmp_path, stamps_of([("ü/日本.mp4", Stamp(size=1, changed=2, sha256="0" * 63 + "1"))])
    )
    (path,) = read_stamps(tmp_path, tmp_path).path_R.tolist()
    assert path.decode() == "ü/日本.mp4"
