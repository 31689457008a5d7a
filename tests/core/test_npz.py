"""Files of numpy that claim more than they have are refused before memory is taken."""

from __future__ import annotations

import io
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy

from revalexo_clip.core.npz import UNREADABLE, read_npy, read_npz

HUGE = 2**40


def header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("packed", [False, True])
def test_what_numpy_writes_is_read(tmp_path: Path, packed: bool) -> None:
    arrays = {
        "data": np.arange(12.0).reshape(3, 4),
        "names": np.array(["a", "bc"]),
        "fs": np.array(60),
        "e": np.empty(0),
    }
    save = np.savez_compressed if packed else np.savez
    save(tmp_path / "a.npz", data=arrays["data"], names=arrays["names"], fs=arrays["fs"], e=arrays["e"])
    found = read_npz(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    assert set(read_npz(tmp_path / "a.npz", ["fs"])) == {"fs"}
    with pytest.raises(KeyError, match="other"):
        read_npz(tmp_path / "a.npz", ["other"])
    np.save(tmp_path / "a.npy", arrays["data"].T)
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), arrays["data"].T)


def test_a_header_that_claims_terabytes_is_refused(tmp_path: Path) -> None:
    before = peak()
    (tmp_path / "a.npy").write_bytes(header((HUGE,)) + bytes(100))
    with pytest.raises(ValueError, match=r"a\.npy claims 4398046511104 bytes, and its file has 100"):
        read_npy(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("data.npy", header((HUGE, 2)) + bytes(100))
    with pytest.raises(ValueError, match="data claims 8796093022208 bytes, and its file has 100"):
        read_npz(tmp_path / "a.npz")
    assert peak() - before < 2**17  # [KiB]


def test_an_archive_that_claims_terabytes_is_refused(tmp_path: Path) -> None:
    """The sizes in the directory of the archive are changed; the array's header agrees with them."""
    size = 2**31
    content = header((size,), "|u1")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", content + bytes(1000))
    written = (tmp_path / "a.npz").read_bytes()
    real, claimed = (number.to_bytes(4, "little") for number in (len(content) + 1000, len(content) + size))
    (tmp_path / "a.npz").write_bytes(written.replace(real, claimed))
    with pytest.raises(ValueError, match=r"data claims \d+ bytes, more than \d+ packed ones can hold"):
        read_npz(tmp_path / "a.npz")


def test_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", allow_pickle=True, data=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="data contains pickled Python objects, which are never read"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive at all", header((3,))])
def test_damage_is_one_of_the_known_errors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    for read in (read_npz, read_npy):
        with pytest.raises(UNREADABLE):
            read(path)
