"""Packs and motion files with wrong content and a digest that matches it, as nobody but an attacker or a bug writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np

from revalexo_clip.data.revalexo.pack.file import digest_of

EXTREMES = (0, 1, -1, 2, 255, -(2**31), 2**31 - 1, 2**62, float("nan"), float("inf"), -1e300, 1e300)


def spoil(file: h5py.File, rng: np.random.Generator) -> str:  # noqa: PLR0911 (one for each way)
    """Change one array or attribute of an open file; return what was done."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    name = str(rng.choice(sorted(names)))
    structural = ["delete", "shape", "type", "empty", "huge", "group"]
    how = rng.choice(["values", "values", "value", "value", "attribute", "text", str(rng.choice(structural))])
    content = _content(file, name)
    if how == "attribute":
        attribute = str(rng.choice(["kind", "measurement", "format", "version"]))
        value = str(rng.choice(["", "x", "99"])) if rng.integers(2) else rng.choice(EXTREMES[:9])
        file.attrs[attribute] = value
        return f"{attribute} = {value}"
    if how == "text":
        text = file["about"][()].tobytes()
        old = rng.choice(
            [b'"Subject08/0000"', b'["Subject', b'"imu/', b'"videos/', b"[", b'"', b": ", b'"acc_Pelvis_x"']
        )
        new = rng.choice([b"", b"[]", b'"\\u0000', b'"/etc/', b"null", b'"Subject01/0000"'])
        return _replaced(file, "about", np.frombuffer(text.replace(old, new), np.uint8), f"{old!r} by {new!r}")
    if how == "delete":
        del file[name]
        return f"no {name}"
    if how == "group":
        del file[name]
        file.create_group(name)
        return f"{name} is a group"
    if how == "empty":
        return _replaced(file, name, content[:0], "empty")
    if how == "shape":
        shape = [(-1, 1), (1, -1), (-1,), (1, 1, -1)][rng.integers(4)]
        return _replaced(file, name, content.reshape(shape), f"shape {shape}")
    if how == "type":
        kind = rng.choice(["<f4", "<i2", "<f8", "S3", "<u8", "<c16"])
        with np.errstate(all="ignore"):
            return _replaced(file, name, content.astype(kind), f"type {kind}")
    if how == "huge":
        del file[name]
        size = int(rng.choice([2**33, 2**50, 2**62]))
        file.create_dataset(name, shape=(size,), dtype=content.dtype)
        return f"{name} claims {size} items"
    flat = content.reshape(-1).copy()
    place = slice(*sorted(rng.integers(0, flat.size + 1, 2))) if how == "value" else slice(None)
    with np.errstate(all="ignore"):
        flat[place] = np.float64(rng.choice(EXTREMES)).astype(content.dtype)
    file[name][...] = flat.reshape(content.shape)
    return f"{name}[{place}] = {flat[place][:1]}"


def _content(file: h5py.File, name: str) -> np.ndarray:
    """Read an array, unless it claims more than the whole file has."""
    if file[name].size > 2**24:
        raise MemoryError(f"{name} claims {file[name].size} items")
    return np.asarray(file[name][()])


def _replaced(file: h5py.File, name: str, content: np.ndarray, what: str) -> str:
    del file[name]
    file.create_dataset(name, data=content)
    return f"{name}: {what}"


def sign(file: h5py.File, tables: Mapping[str, object]) -> str:
    """Write the digest of what the tables are now, and return it."""
    found = {name: _content(file, name) for name in sorted(tables)}
    about = _content(file, "about")
    digest = digest_of(about, found)
    file.attrs["sha256"] = digest
    return digest


def crafted(source: Path, target: Path, seed: int, tables: Mapping[str, object]) -> str:
    """Write a file whose content is wrong in one to three ways and whose digest matches."""
    target.write_bytes(source.read_bytes())
    rng = np.random.default_rng(seed)
    with h5py.File(target, "r+") as file:
        done = [_tried(spoil, file, rng) for _ in range(rng.integers(1, 4))]
        _tried(lambda file, _: sign(file, tables), file, rng)
    return "; ".join(done)


def _tried(change: Callable[[h5py.File, np.random.Generator], str], file: h5py.File, rng: np.random.Generator) -> str:
    try:
        return change(file, rng)
    except (KeyError, AttributeError, ValueError, TypeError, OSError, MemoryError, OverflowError) as error:
        return f"not done: {error}"  # an earlier change has removed what this one needs
