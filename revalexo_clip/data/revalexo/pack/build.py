"""`rxclip pack`: the fast form of a dataset."""

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
    """A pack, and what it was made from."""

    path: Path
    made: bool
    """False where it was there, and up to date."""
    clips: int
    size: int
    """[bytes]"""
    source_size: int
    """Of the clips' files [bytes]."""


def pack(
    root: Path,
    path: Path | None = None,
    *,
    short_side: int = PackSettings().short_side,
    quality: int = PackSettings().quality,
    processes: int | None = None,
    on_progress: OnProgress = no_progress,
) -> Packed:
    """Pack every clip of a dataset, or find that it is packed. See `write_pack`, whose errors are raised.

    A pack that is up to date but was made with other settings is made again.
    """
    describe(root)  # what is wrong with the dataset is said before anything is made
    settings = PackSettings(short_side=short_side, quality=quality)
    target = default_path(root) if path is None else path
    if target.is_dir():
        raise ConfigError(f"{target} is a folder: --out names a file")
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
