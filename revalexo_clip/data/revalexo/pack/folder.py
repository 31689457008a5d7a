"""A pack: a folder of shards, whose names and entries are read with one read of its manifest.

pack.json          settings of the frames, and the digests of the JSON files in `dataset/`; written when all clips of
                   the dataset are packed
shards/*.h5        see `shard`; they are added by any number of processes and machines, and never change
manifest.h5        the entries of all shards. It is made from the shards, which count if the two differ.
stamps/*.h5        size, modification time and digest of the dataset's files, see `stamps`
dataset/           copies of the dataset's JSON files, for use without the dataset
parts/, writers/   of processes that pack: clips that are in no shard yet, and signs of life
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from revalexo_clip.core.files import sync_folder
from revalexo_clip.core.platform import flush_file
from revalexo_clip.core.version import __version__
from revalexo_clip.data.revalexo.pack.entries import (
    COLUMNS,
    MAX_SIDE,
    Entries,
    Finder,
    Header,
    Pixels,
    ShardTable,
    joined,
)
from revalexo_clip.data.revalexo.pack.file import FORMAT, PackError, TablesFile, write_tables
from revalexo_clip.data.revalexo.pack.hdf5 import UNUSABLE
from revalexo_clip.data.revalexo.pack.shard import SUFFIX, read_shard, temporary_file
from revalexo_clip.data.revalexo.pack.temporary import PREFIX

KIND = "revalexo_clip pack"
DESCRIPTION, MANIFEST = "pack.json", "manifest.h5"
SHARDS, STAMPS, DATASET, PARTS, WRITERS = "shards", "stamps", "dataset", "parts", "writers"
_MANIFEST_KIND = "revalexo_clip manifest"


class Description(BaseModel):
    """Content of `pack.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = KIND
    format: int = FORMAT
    version: str = __version__
    short_side: int = Field(ge=1, le=MAX_SIDE)
    """Largest short side of frames [px]."""
    quality: int = Field(ge=1, le=100)
    """JPEG quality."""
    digests: dict[str, str]
    """SHA-256 of the JSON files in `dataset/`, by path."""
    stamps: str | None = None
    """What the names of the files in `stamps/` start with that belong to the dataset in `dataset/`."""
    check: int = 0
    """Checksum of all the rest."""

    def summed(self) -> Description:
        """Return the same with its checksum."""
        content = self.model_copy(update={"check": 0}).model_dump_json(exclude_none=True)
        return self.model_copy(update={"check": zlib.crc32(content.encode())})


@dataclass(frozen=True)
class Pack:
    """A pack that is opened: everything except frames and samples."""

    path: Path
    pixels: Pixels
    digests: Mapping[str, str]
    """See `Description`."""
    entries: Entries
    damaged: Mapping[str, str]
    """What is wrong with shards that cannot be used, by name."""
    stamps: str | None = None
    """See `Description`."""

    @property
    def shards(self) -> Path:
        """Folder of the shards."""
        return self.path / SHARDS

    def entry(self, kind: int) -> Finder:
        """Return what finds an entry by the digest of its file."""
        return self.entries.finder(kind, self.pixels)


def open_pack(path: Path) -> Pack:
    """Open a pack. Raises `PackError` if there is none, if it has another format, or if it is not usable."""
    described = read_description(path)
    entries, damaged = read_entries(path)
    pixels = Pixels(described.short_side, described.quality)
    return Pack(path, pixels, described.digests, entries, damaged, described.stamps)


def read_description(path: Path) -> Description:
    """Read `pack.json`. Raises `PackError`."""
    if path.is_file():
        raise PackError(_why_no_folder(path))
    try:
        content = json.loads((path / DESCRIPTION).read_bytes())
        kind, found = (content.get("kind"), content.get("format")) if isinstance(content, dict) else (None, None)
        if kind == KIND and isinstance(found, int) and found != FORMAT:
            raise PackError(_other_format(path, found, content.get("version")))
        described = Description.model_validate(content)
        if kind != KIND or described != described.summed():
            raise ValueError("checksum mismatch")
    except FileNotFoundError as error:
        what = "is incomplete; run `rxclip pack` again" if path.is_dir() else "there is no such pack"
        raise PackError(f"{path}: {what}") from error
    except (OSError, ValueError) as error:
        problem = str(error).partition("\n")[0]
        raise PackError(f"{path}: is not a pack, or {DESCRIPTION} is corrupt ({problem})") from error
    return described


def _why_no_folder(path: Path) -> str:
    try:
        with h5py.File(path, "r", locking=False) as opened:
            if opened.attrs.get("kind") == KIND:
                return _other_format(path, opened.attrs.get("format"), opened.attrs.get("version"))
    except UNUSABLE:
        pass
    return f"{path}: is not a pack, which is a folder, but a file"


def _other_format(path: Path, found: object, version: object) -> str:
    return (
        f"{path}: has pack format {found} (written by revalexo_clip {version}), but this version reads format "
        f"{FORMAT}; run `rxclip pack` again"
    )


def write_description(path: Path, pixels: Pixels, digests: Mapping[str, str], stamps: str) -> None:
    """Write `pack.json`, unless it says the same already. Raises `OSError`."""
    described = Description(
        short_side=pixels.short_side, quality=pixels.quality, digests=dict(digests), stamps=stamps
    ).summed()
    with suppress(PackError):
        if read_description(path) == described:
            return
    replace_file(path / DESCRIPTION, (described.model_dump_json(indent=2) + "\n").encode())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that it is the old or the new one after a crash, also if others write it. Raises `OSError`."""
    with temporary_file(path.parent) as temporary:
        temporary.write_bytes(content)
        flush_file(temporary)
        temporary.replace(path)
    sync_folder(path.parent)


def shard_sizes(path: Path) -> dict[str, int]:
    """Return the size of each shard of a pack [bytes] by name, in order. Raises `PackError` if that fails."""
    try:
        with os.scandir(path / SHARDS) as found:
            files = [(file.name, file.stat().st_size) for file in found if file.name.endswith(SUFFIX)]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise PackError(f"{path / SHARDS}: cannot be read: {error.strerror}") from error
    return dict(sorted(file for file in files if not file[0].startswith(PREFIX)))


def read_entries(path: Path, known: Entries | None = None) -> tuple[Entries, dict[str, str]]:
    """Return the entries of all shards, and what is wrong with shards that are incomplete or corrupt, by name.

    `known` are entries that are not read again (default: those of the manifest).
    """
    sizes, damaged = shard_sizes(path), dict[str, str]()
    known = read_manifest(path) if known is None else known
    listed = dict(zip(known.shards.names, known.shards.size_S.tolist(), strict=True))
    usable_S = np.array([sizes.get(name) == size for name, size in listed.items()], dtype=bool)
    if not usable_S.all():
        known = known.select(usable_S[known.shard_E])
    several = [known]
    for name, size in sizes.items():
        if name not in listed:
            try:
                several.append(read_shard(path / SHARDS / name))
            except PackError as error:
                damaged[name] = str(error)
        elif listed[name] != size:
            damaged[name] = f"{path / SHARDS / name}: is incomplete or corrupt: it has {size} bytes, not {listed[name]}"
    return (joined(several) if len(several) > 1 else known), damaged


_TABLES = {
    **{f"entries/{name}": dtype for name, (dtype, _) in COLUMNS.items()},
    "entries/shard": "<i4",
    **dict.fromkeys(("shards/size", "shards/start", "shards/length"), "<i8"),
}


class _About(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    headers: tuple[Header, ...]
    problems: tuple[str, ...]
    shards: tuple[str, ...]


def read_manifest(path: Path) -> Entries:
    """Read the entries that the manifest lists; none if it is missing or corrupt, because shards count."""
    try:
        opened = TablesFile(path / MANIFEST, _MANIFEST_KIND, _TABLES, {})
        about, tables = _About.model_validate_json(opened.about), opened.tables
        entries = Entries(
            column={name: tables[f"entries/{name}"] for name in COLUMNS},
            shard_E=tables["entries/shard"].astype(np.int64),
            headers=about.headers,
            problems=about.problems,
            shards=ShardTable(
                about.shards, *(tables[f"shards/{name}"].astype(np.int64) for name in ("size", "start", "length"))
            ),
        )
        entries.check()
        if any(os.path.basename(name) != name for name in about.shards):  # noqa: PTH119 (of text)
            raise ValueError("a shard lies elsewhere")
    except (PackError, ValueError, ValidationError, IndexError):
        return joined([])
    return entries


def write_manifest(path: Path, entries: Entries) -> None:
    """Write the entries of all shards into one file. Raises `OSError`."""
    about = _About(headers=entries.headers, problems=entries.problems, shards=entries.shards.names)
    tables = {f"entries/{name}": (entries.column[name], dtype) for name, (dtype, _) in COLUMNS.items()} | {
        "entries/shard": (entries.shard_E, "<i4"),
        "shards/size": (entries.shards.size_S, "<i8"),
        "shards/start": (entries.shards.start_SP, "<i8"),
        "shards/length": (entries.shards.length_SP, "<i8"),
    }
    with temporary_file(path) as temporary:
        write_tables(temporary, _MANIFEST_KIND, about.model_dump(mode="json"), tables)
        flush_file(temporary)
        temporary.replace(path / MANIFEST)
