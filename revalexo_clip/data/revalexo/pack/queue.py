"""Parts that wait to be published, in the order of their clips, so that the same clips give the same shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from revalexo_clip.data.revalexo.pack.hdf5 import Table
from revalexo_clip.data.revalexo.pack.part import LostPartError, decoder, read_part
from revalexo_clip.data.revalexo.pack.shard import SHARD_BYTES, Item, Source, publish


class Queued(NamedTuple):
    """An entry to publish: a part, or the problem of a file."""

    part: Path
    source: Source
    """As far as it is known before the part is read."""


class Queue:
    """The entries that one process has to publish."""

    def __init__(self, folder: Path) -> None:
        """`folder` is that of the shards."""
        self.folder = folder
        self.parts: set[Path] = set()
        self._entries: list[Queued] = []
        self._sizes: list[int] = []

    def add(self, entries: Iterable[Queued]) -> None:
        """Append entries, each once."""
        for one in entries:
            if one.part not in self.parts:
                found = None if one.source.problem is not None else read_part(one.part)
                self.parts.add(one.part)
                self._entries.append(one)
                self._sizes.append(found.info.source.bytes if found else 0)

    def publish(self, least: int) -> Iterator[str]:
        """Publish shards and yield their names, as long as there are `least` bytes for the next one.

        Raises `OSError`.
        """
        while self._entries and (least <= 1 or sum(self._sizes) >= least):
            size, end = 0, 0
            while end < len(self._entries) and size < SHARD_BYTES:
                size += self._sizes[end]
                end += 1
            name = self._publish(self._entries[:end])
            if name is not None:
                yield name
            for part, _ in self._entries[:end]:
                self.parts.discard(part)
                part.unlink(missing_ok=True)
            del self._entries[:end], self._sizes[:end]

    def _publish(self, group: list[Queued]) -> str | None:
        while True:
            items, decoders = list[Item](), set[str]()
            for part, source in group:
                found = None if source.problem is not None else read_part(part)
                if source.problem is not None:
                    items.append(Item(source, _nothing))
                elif found is not None:  # else another process has published it, or it is packed again
                    items.append(found.item())
                    decoders.add(found.info.decoder)
            try:
                return publish(self.folder, items, "; ".join(sorted(decoders)) or decoder()) if items else None
            except LostPartError as lost:
                lost.path.unlink(missing_ok=True)


def _nothing(name: str) -> Table:
    raise AssertionError(name)
