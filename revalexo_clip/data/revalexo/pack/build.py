"""Packing a dataset, for `rxclip pack`."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.progress import OnProgress, no_progress
from revalexo_clip.data.revalexo.pack.current import KINDS, names_of
from revalexo_clip.data.revalexo.pack.describe import describe
from revalexo_clip.data.revalexo.pack.file import PackError
from revalexo_clip.data.revalexo.pack.find import default_path
from revalexo_clip.data.revalexo.pack.folder import read_description, shard_sizes
from revalexo_clip.data.revalexo.pack.part import PackSettings
from revalexo_clip.data.revalexo.pack.prune import prune
from revalexo_clip.data.revalexo.pack.stamps import look
from revalexo_clip.data.revalexo.pack.write import write_pack

__all__ = ["Packed", "pack", "parse_share", "prune"]


@dataclass(frozen=True)
class Packed:
    """Result of packing a dataset."""

    path: Path
    made: bool
    """False if the pack already had all clips."""
    clips: int
    """Number of clips of the dataset."""
    size: int
    """Size of the pack [bytes]."""
    source_size: int
    """Total size of the clips' files [bytes]."""
    encoded: int
    """Number of videos and IMU files that were packed; all others were there."""
    missing: int
    """Number of clips that are not packed yet; 0 unless a share of the clips was packed."""


def pack(
    root: Path,
    path: Path | None = None,
    *,
    short_side: int = PackSettings().short_side,
    quality: int = PackSettings().quality,
    processes: int | None = None,
    share: tuple[int, int] = (1, 1),
    on_progress: OnProgress = no_progress,
) -> Packed:
    """Pack the clips of a dataset that its pack does not have with these settings; see `write_pack` for `share`.

    Raises `ConfigError` if `path` is a file, and the errors of `write_pack`.
    """
    described, _ = describe(root)  # report problems of the dataset before anything is written
    target = default_path(root) if path is None else path
    if target.is_file():
        raise ConfigError(
            f"{target} is a file: a pack is a folder. If it is an old pack, delete it, or choose another --out"
        )
    settings = PackSettings(short_side=short_side, quality=quality)
    before = _state(target)
    written = write_pack(root, target, settings, processes=processes, share=share, on_progress=on_progress)
    names = {str(name) for kind in KINDS for name in names_of(described.index, kind) if name}
    source_size = sum(max(look(f"{root}/{name}")[0], 0) for name in names)
    size = sum(shard_sizes(target).values())
    return Packed(
        target, _state(target) != before, len(described.index), size, source_size, written.encoded, written.missing
    )


def parse_share(text: str) -> tuple[int, int]:
    """Read `i/n`, the i-th of n shares. Raises `ConfigError`."""
    number, slash, shares = text.partition("/")
    if not (slash and number.isdecimal() and shares.isdecimal() and 1 <= int(number) <= int(shares)):
        raise ConfigError(f"--shard {text}: write it as I/N, with I from 1 to N, e.g. 2/8")
    return int(number), int(shares)


def _state(path: Path) -> tuple[object, dict[str, int]]:
    """Return what a pack holds, wherever its dataset lies, and its shards."""
    described = None
    with suppress(PackError):
        described = read_description(path).model_copy(update={"stamps": None, "check": 0})
    return described, shard_sizes(path)
