"""Packing a dataset, for `rxclip pack`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.progress import OnProgress, no_progress
from revalexo_clip.data.revalexo.pack.file import PackError, PackTables
from revalexo_clip.data.revalexo.pack.find import default_path, out_of_date
from revalexo_clip.data.revalexo.pack.part import PackSettings
from revalexo_clip.data.revalexo.pack.write import describe, discard_parts, write_pack


@dataclass(frozen=True)
class Packed:
    """Result of packing a dataset."""

    path: Path
    made: bool
    """False if the pack already existed and was up to date."""
    clips: int
    """Number of clips."""
    size: int
    """Size of the pack [bytes]."""
    source_size: int
    """Total size of the clips' files [bytes]."""


def pack(
    root: Path,
    path: Path | None = None,
    *,
    short_side: int = PackSettings().short_side,
    quality: int = PackSettings().quality,
    processes: int | None = None,
    on_progress: OnProgress = no_progress,
) -> Packed:
    """Pack every clip of a dataset, unless the pack is up to date and has the same settings.

    Raises `ConfigError` if `path` is a folder, and the errors of `write_pack`.
    """
    describe(root)  # report problems of the dataset before anything is written
    settings = PackSettings(short_side=short_side, quality=quality)
    target = default_path(root) if path is None else path
    if target.is_dir():
        raise ConfigError(f"{target} is a folder: --out must be a file")
    found = _up_to_date(target, root, settings)
    if found is None:
        write_pack(root, target, settings, processes=processes, on_progress=on_progress)
    else:
        discard_parts(target)
    tables = found or PackTables(target)
    size = int(tables.ints("sources/size").clip(min=0).sum())
    return Packed(target, found is None, len(tables), target.stat().st_size, size)


def _up_to_date(path: Path, root: Path, settings: PackSettings) -> PackTables | None:
    try:
        tables = PackTables(path)
    except PackError:
        return None
    wanted = (settings.short_side, settings.quality)
    whole = bool(tables.tables["clips/packed"].all()) and not tables.about.unreadable
    if whole and (tables.short_side, tables.quality) == wanted and out_of_date(tables, root) is None:
        return tables
    return None
