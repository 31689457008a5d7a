"""Removing from a pack what no dataset uses, for `rxclip pack --prune`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from revalexo_clip.core.files import WriteError
from revalexo_clip.core.text import counted
from revalexo_clip.data.revalexo.pack.current import KINDS, find_current, stamps_now
from revalexo_clip.data.revalexo.pack.describe import describe
from revalexo_clip.data.revalexo.pack.entries import Digests
from revalexo_clip.data.revalexo.pack.find import OLD_NAME, cache_folder
from revalexo_clip.data.revalexo.pack.folder import PARTS, SHARDS, STAMPS, Pack, open_pack, read_entries, write_manifest
from revalexo_clip.data.revalexo.pack.payload import Payloads
from revalexo_clip.data.revalexo.pack.shard import SHARD_BYTES, decoder_of, publish
from revalexo_clip.data.revalexo.pack.stamps import digests_of_others, merged, read_stamps
from revalexo_clip.data.revalexo.pack.stored import stored_bytes, stored_item
from revalexo_clip.data.revalexo.pack.temporary import PREFIX
from revalexo_clip.data.revalexo.pack.writers import writing


@dataclass(frozen=True)
class Pruned:
    """What was removed from a pack."""

    path: Path
    removed: tuple[str, ...]
    """What each removed file was, in words."""
    entries: int
    """Number of packed files that no dataset uses."""
    freed: int
    """Size of what was removed, less what was written [bytes]."""


def prune(root: Path, path: Path) -> Pruned:
    """Remove the entries of a pack that no clip of the dataset uses; shards that are used in part are written anew.

    Entries of other datasets that were packed into it, and are still there, are kept. Runs that read the pack at the
    same time may stop with an error. Nothing is removed before everything that stays is on the disk. Raises `BusyError`
    if another process writes the pack, `PackError` if there is none, `DataError` if the dataset is invalid or an entry
    that is used is corrupt, and `WriteError`.
    """
    described, _ = describe(root)
    open_pack(path)
    try:
        with writing(path, alone=True):
            pack = open_pack(path)
            stamps = read_stamps(path, root, cache_folder(root))
            current = find_current(pack, stamps, described.index)
            own = stamps_now(merged([stamps, current.new]), current, described.index)
            used_E = _used(pack, np.concatenate([own.digest_R, *digests_of_others(path, root)]))
            return _prune(pack, used_E, path.parent / OLD_NAME)
    except OSError as error:
        raise WriteError(f"{path}: cannot be written: {error.strerror or error}") from error


def _used(pack: Pack, digest_R: Digests) -> npt.NDArray[np.bool_]:
    """Return which entries are found by digests, with the settings of the pack."""
    used_E = np.zeros(len(pack.entries), dtype=bool)
    for kind in KINDS:
        entry_R = pack.entry(kind).find(digest_R)
        used_E[entry_R[entry_R >= 0]] = True
    return used_E


def _prune(pack: Pack, used_E: npt.NDArray[np.bool_], older: Path) -> Pruned:
    shards, shard_E = pack.entries.shards, pack.entries.shard_E
    count_S, used_S = (np.bincount(shard_E[of_E], minlength=len(shards.names)) for of_E in (used_E | True, used_E))
    new = set(_rewrite(pack, np.flatnonzero(used_E & (used_S < count_S)[shard_E]).tolist()))
    freed = -sum((pack.shards / name).stat().st_size for name in new - set(shards.names))
    removed: list[str] = []
    for shard in np.flatnonzero(used_S < count_S).tolist():
        if shards.names[shard] not in new:
            freed += _remove(pack.shards / shards.names[shard])
            unused = f"{int(count_S[shard] - used_S[shard])} of {counted(int(count_S[shard]), 'packed file')} unused"
            removed.append(f"{SHARDS}/{shards.names[shard]}: {unused}")
    for name in pack.damaged:
        freed += _remove(pack.shards / name)
        removed.append(f"{SHARDS}/{name}: damaged")
    left = [file for folder in (pack.shards, pack.path, pack.path / STAMPS) for file in folder.glob(f"{PREFIX}*")]
    left += (pack.path / PARTS).glob("*")
    if left:
        freed += sum(map(_remove, left))
        removed.append(f"{counted(len(left), 'file')} of processes that were killed")
    shutil.rmtree(pack.path / PARTS, ignore_errors=True)
    if older.is_file():
        freed += _remove(older)
        removed.append(f"{older.name}: a pack of an older format")
    write_manifest(pack.path, read_entries(pack.path)[0])
    return Pruned(pack.path, tuple(removed), int((~used_E).sum()), freed)


def _remove(path: Path) -> int:
    """Remove a file, and return its size."""
    size = path.stat().st_size
    path.unlink()
    return size


def _rewrite(pack: Pack, kept: Sequence[int]) -> Iterator[str]:
    """Publish entries in new shards, and yield their names. Raises `DataError` if an entry is corrupt."""
    payloads, group, size = Payloads(pack.shards, pack.entries.shards), list[int](), 0
    for place, entry in enumerate(kept, start=1):
        group.append(entry)
        size += stored_bytes(payloads, pack.entries, entry)
        if size >= SHARD_BYTES or place == len(kept):
            items = [stored_item(payloads, pack.entries, entry) for entry in group]
            decoders = {decoder_of(pack.shards / pack.entries.shards.names[pack.entries.shard_E[one]]) for one in group}
            yield publish(pack.shards, items, "; ".join(sorted(decoders)))
            group, size = [], 0
