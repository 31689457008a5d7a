"""Pruning removes what no clip uses, never what is used, and never while another process writes."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import pytest
from support.packs import entries_of, in_child, shards_of, windows_of, write_different

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.revalexo.pack import writers
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.data.revalexo.pack.exclusive import BusyError
from revalexo_clip.data.revalexo.pack.find import NAME, OLD_NAME
from revalexo_clip.data.revalexo.pack.folder import SHARDS, WRITERS
from revalexo_clip.data.revalexo.pack.part import PackSettings
from revalexo_clip.data.revalexo.pack.prune import prune
from revalexo_clip.data.revalexo.pack.temporary import PREFIX, temporary_name
from revalexo_clip.data.revalexo.pack.write import write_pack


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Return a packed dataset of four subjects, of which three are used."""
    root = write_different(tmp_path / "dataset", subjects=4)
    pack(root, processes=1)
    return root


@pytest.mark.long
def test_what_is_used_stays_and_the_rest_goes(packed: Path) -> None:
    path, before = packed / NAME, windows_of(packed, pack="auto")
    held = entries_of(path)
    (packed / "data_pairs/Subject04.json").unlink()
    pack(packed, processes=1, quality=50)
    (path / SHARDS / temporary_name()).write_bytes(b"left by a process that was killed")
    pack(packed, processes=1)
    size = sum(map(len, shards_of(path).values()))
    found = prune(packed, path)
    assert found.entries == 4 + 6, "two clips of a subject, and six videos of another quality"
    assert len(found.removed) == 3
    assert found.removed[0].endswith(" unused")
    assert found.freed == size - sum(map(len, shards_of(path).values())) + len(b"left by a process that was killed")
    left = entries_of(path)
    assert left.items() < held.items()
    assert len(left) == 12
    assert windows_of(packed, pack="auto") == before
    assert pack(packed, processes=1).encoded == 0
    assert prune(packed, path).removed == ()


@pytest.mark.long
def test_nothing_is_removed_while_another_process_writes(packed: Path) -> None:
    path = packed / NAME
    (packed / "data_pairs/Subject04.json").unlink()
    before = shards_of(path)
    seen: list[str] = []

    def while_writing(done: int, total: int) -> None:
        with pytest.raises(BusyError, match=r"rxclip-pack: another process writes it \(.*wait for it, or stop it"):
            prune(packed, path)
        seen.append("refused")

    write_pack(packed, path, PackSettings(short_side=8), processes=1, on_progress=while_writing)
    assert seen
    assert before.items() <= shards_of(path).items()
    with (
        writers.writing(path, alone=True),
        pytest.raises(BusyError, match="another process prunes it"),
    ):
        pack(packed, processes=1)


def test_signs_of_processes_that_have_ended_do_not_matter(packed: Path) -> None:
    child = in_child(lambda: None)
    os.waitpid(child, 0)
    node = temporary_name().removeprefix(PREFIX).rpartition("-")[0].rpartition("-")[0]
    folder = packed / NAME / WRITERS
    folder.mkdir()
    (folder / f"{PREFIX}{node}-{child}-0011223344aa").touch()
    silent = folder / f"{PREFIX}elsewhere-1-0011223344aa"
    silent.touch()
    os.utime(silent, (1, 1))
    assert prune(packed, packed / NAME).removed == ()
    running = folder / f"{PREFIX}elsewhere-2-0011223344aa"
    folder.mkdir(exist_ok=True)
    running.touch()
    with pytest.raises(BusyError, match="elsewhere-2"):
        prune(packed, packed / NAME)


@pytest.mark.long
def test_entries_of_other_datasets_stay_while_these_are_there(packed: Path, tmp_path: Path) -> None:
    other = write_different(tmp_path / "other", subjects=6)
    pack(other, packed / NAME, processes=1)
    pack(packed, processes=1)
    held = entries_of(packed / NAME)
    assert prune(packed, packed / NAME).removed == ()
    assert entries_of(packed / NAME) == held
    (other / "label_mapping.json").unlink()
    assert prune(packed, packed / NAME).entries == 8


def test_a_corrupt_entry_that_is_used_stops_it(packed: Path) -> None:
    (shard,) = (packed / NAME / SHARDS).iterdir()
    content = bytearray(shard.read_bytes())
    place = content.index(b"\xff\xd8\xff", len(content) // 2)
    content[place + 20 : place + 30] = bytes(10)
    shard.write_bytes(content)
    (packed / "data_pairs/Subject04.json").unlink()
    with pytest.raises(DataError, match=r"\.h5: the file of SHA-256 .*: frame \d+: is corrupt: checksum mismatch"):
        prune(packed, packed / NAME)
    assert shards_of(packed / NAME) == {shard.name: bytes(content)}


def test_a_pack_of_an_older_format_is_removed(packed: Path) -> None:
    with h5py.File(packed / OLD_NAME, "w") as file:
        file.attrs.update(kind="revalexo_clip pack", format=3, version="0.1.0")
    assert prune(packed, packed / NAME).removed == (f"{OLD_NAME}: a pack of an older format",)
    assert not (packed / OLD_NAME).exists()
