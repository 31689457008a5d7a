"""Files are written atomically."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import atomically, sha256_of


def test_the_folder_of_a_file_is_created(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.json"
    with atomically(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interruption_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, interruption: type[BaseException]
) -> None:
    path = tmp_path / "config.json"
    path.write_text("old")

    def write() -> None:
        with atomically(path) as temporary:
            temporary.write_text("half of the ne")
            raise interruption

    with pytest.raises(interruption):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    path = tmp_path / "folder" / "config.json"
    with pytest.raises(DataError, match=r"folder/config\.json: cannot be written: "), atomically(path):
        pytest.fail("there is no such folder to write in")


def test_a_folder_of_the_same_name_is_kept(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    path = tmp_path / "config.json"
    with pytest.raises(DataError, match=r"json: cannot be written: Is a directory"), atomically(path) as temporary:
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_checksums_depend_on_the_content_of_a_file(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"weights")
    other.write_bytes(b"weights")
    assert sha256_of(one) == sha256_of(other) == hashlib.sha256(b"weights").hexdigest()
    other.write_bytes(b"Weights")
    assert sha256_of(one) != sha256_of(other)
