"""Verifying everything in a pack, for `rxclip check-data`: training verifies only what it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import sha256_of
from revalexo_clip.core.progress import OnProgress
from revalexo_clip.data.revalexo.pack.checksums import BLOCK, Section
from revalexo_clip.data.revalexo.pack.entries import Entries
from revalexo_clip.data.revalexo.pack.folder import Pack
from revalexo_clip.data.revalexo.pack.payload import Payload, Payloads, read_blocks
from revalexo_clip.data.revalexo.pack.shard import Source
from revalexo_clip.data.revalexo.pack.stored import section, stored_source

SHOWN = 5
"""Frames that a message names."""


def wrong_entries(pack: Pack, on_progress: OnProgress, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield shard and problem of each entry whose frames, times or samples are not what was packed.

    `names` are those of packed files by SHA-256, as far as they are known.

    Reads the whole pack once, and says what is wrong with shards that cannot be used. Raises `DataError` if a shard
    cannot be read.
    """
    entries, payloads = pack.entries, Payloads(pack.shards, pack.entries.shards)
    yield from pack.damaged.items()
    for entry in range(len(entries)):
        on_progress(entry, len(entries))
        shard = int(entries.shard_E[entry])
        payload, source = payloads.of(shard), stored_source(entries, entry)
        for problem in (
            *_wrong_frames(payload, entries, entry, source),
            *_wrong_samples(payload, section(entries, entry)),
        ):
            yield entries.shards.names[shard], f"{names.get(source.sha256, source.sha256)}: {problem}"
    for shard, name in enumerate(entries.shards.names):
        if sha256_of(payloads.of(shard).path)[:32] != name.partition(".")[0]:
            yield name, "its content is not what was written: checksum mismatch"
    on_progress(len(entries), len(entries))


def _wrong_frames(payload: Payload, entries: Entries, entry: int, source: Source) -> Iterator[str]:
    first = int(entries.column["first_frame"][entry])
    if not source.frames:
        return
    try:
        payload.times(first, first + source.frames, source.time_check, "")
    except DataError as error:
        yield str(error).removeprefix(f"{payload.path}: : ")
    wrong = [frame for frame in range(source.frames) if not _is_whole(payload, first, frame, "")]
    if wrong:
        yield f"frames {_numbered(wrong)} of {source.frames}: corrupt: checksum mismatch"


def _is_whole(payload: Payload, first: int, frame: int, name: str) -> bool:
    try:
        payload.jpegs(first, np.array([frame]), name)
    except DataError:
        return False
    return True


def _wrong_samples(payload: Payload, section: Section) -> Iterator[str]:
    values, wrong, infinite = section.end - section.first, 0, 0
    blocks = range(0, values, BLOCK)
    for first in blocks:
        last = min(first + BLOCK, values)
        found, mismatch = read_blocks(payload.file, payload.values, section, first, last)
        wrong += mismatch is not None
        infinite += mismatch is None and not np.isfinite(found.astype(np.float32)).all()
    if wrong:
        yield f"{wrong} of {len(blocks)} blocks of samples: corrupt: checksum mismatch"
    if infinite:
        yield f"{infinite} of {len(blocks)} blocks of samples have values that are not finite"


def _numbered(wrong: Sequence[int]) -> str:
    more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    return f"{', '.join(map(str, wrong[:SHOWN]))}{more}"
