"""A pack with a symbolic link: nothing is written or removed outside of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.data.revalexo.pack.find import NAME
from revalexo_clip.data.revalexo.pack.folder import DATASET


@pytest.mark.parametrize("linked", [DATASET, f"{DATASET}/data_pairs"])
def test_nothing_is_written_through_a_link(root: Path, tmp_path: Path, linked: str) -> None:
    pack(root)
    outside = (root / NAME / linked).rename(tmp_path / "outside")
    (root / NAME / linked).symlink_to(outside, target_is_directory=True)
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    assert before
    for path in (root / "data_pairs").glob("*.json"):
        path.write_text(path.read_text() + "\n")
    with pytest.raises(DataError, match="symbolic link, and nothing is written outside the pack"):
        pack(root)
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before
