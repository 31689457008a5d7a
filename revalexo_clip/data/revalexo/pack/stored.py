"""Entries of a pack, read back as they were packed."""

from __future__ import annotations

import numpy as np

from revalexo_clip.data.revalexo.pack.checksums import Section, blocks_of
from revalexo_clip.data.revalexo.pack.entries import COLUMNS, Entries, Pixels
from revalexo_clip.data.revalexo.pack.hdf5 import Table
from revalexo_clip.data.revalexo.pack.payload import Payload, Payloads
from revalexo_clip.data.revalexo.pack.shard import Item, Source


def section(entries: Entries, entry: int) -> Section:
    """Return the samples of an entry."""
    first, count, check = (int(entries.column[name][entry]) for name in ("first_value", "values", "first_check"))
    return Section(first, first + count, check)


def stored_source(entries: Entries, entry: int) -> Source:
    """Return what is known of a packed file, except for the size of its frames."""
    row = {name: entries.column[name][entry].tolist() for name in COLUMNS}
    header, problem = row["header"], row["problem"]
    return Source(
        sha256=bytes(row["digest"]).hex(),
        kind=row["kind"],
        pixels=Pixels(row["short_side"], row["quality"]),
        header=None if header < 0 else entries.headers[header],
        problem=None if problem < 0 else entries.problems[problem],
        **{name: row[name] for name in ("source_size", "size", "turns", "tolerance", "time_check", "frames", "values")},
    )


def stored_bytes(payloads: Payloads, entries: Entries, entry: int) -> int:
    """Return the size of the frames and samples of an entry [bytes]."""
    return _jpeg_bytes(payloads.of(int(entries.shard_E[entry])), entries, entry) + 4 * int(
        entries.column["values"][entry]
    )


def _jpeg_bytes(payload: Payload, entries: Entries, entry: int) -> int:
    first, frames = (int(entries.column[name][entry]) for name in ("first_frame", "frames"))
    if not frames:
        return 0
    ends = [int(payload.file.read(payload.place, at, at + 1)[0]) for at in (first, first + frames)]
    return ends[1] - ends[0]


def stored_item(payloads: Payloads, entries: Entries, entry: int) -> Item:
    """Return an entry that can be written into another shard; what it reads is compared with its checksums."""
    payload, source = payloads.of(int(entries.shard_E[entry])), stored_source(entries, entry)
    source = source.model_copy(update={"jpeg_bytes": _jpeg_bytes(payload, entries, entry)})
    first, values = int(entries.column["first_frame"][entry]), section(entries, entry)
    name = f"the file of SHA-256 {source.sha256}"

    def array(of: str) -> Table:
        if of == "time":
            return payload.times(first, first + source.frames, source.time_check, name)
        if of == "check":
            return payload.file.read(payload.frame_check, first, first + source.frames)
        if of == "values":
            return payload.samples(values, 1, slice(0, source.values), name)
        if of == "value_check":
            blocks = int(blocks_of(np.array(source.values)))
            return payload.file.read(payload.values.checks, values.check, values.check + blocks)
        jpegs = payload.jpegs(first, np.arange(source.frames), name)
        if of == "length":
            return np.array([len(one) for one in jpegs], dtype=np.int64)
        return np.frombuffer(b"".join(jpegs), np.uint8)

    return Item(source, array)
