"""Files of GoPro cameras: what they look like, and finding the chapters of a recording by their names."""

from __future__ import annotations

import re
from pathlib import Path

from revalexo_clip.core.errors import DataError

_CHAPTER = re.compile(r"(?P<kind>G[A-Z])(?P<chapter>\d\d)(?P<number>\d{4})", re.IGNORECASE)
_FIRST_OLD = re.compile(r"GOPR(?P<number>\d{4})", re.IGNORECASE)
"""Name of the first chapter of cameras before the HERO6; the others are `GP01....`."""
_SUFFIXES = (".mp4", ".lrv", ".thm")
"""Of the files that a GoPro writes: videos, small copies of them, and pictures."""


def is_gopro(source: Path) -> bool:
    """Whether a file or folder looks like a recording of a GoPro: by its name, or if it holds nothing but videos."""
    if source.is_dir():
        files = [path for path in source.iterdir() if path.is_file() and not path.name.startswith(".")]
        videos = _videos(source)
        named = any(_CHAPTER.fullmatch(path.stem) or _FIRST_OLD.fullmatch(path.stem) for path in videos)
        return named or (bool(videos) and all(path.suffix.lower() in _SUFFIXES for path in files))
    if source.suffix.lower() == ".mp4":
        return True
    try:
        with source.open("rb") as file:
            return file.read(4) == b"DEVC"
    except OSError:
        return False


def _videos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() == ".mp4" and not path.name.startswith("."))


def chapters_of(source: Path) -> list[Path]:
    """Return the chapters of a recording in order. Raises `DataError` if there are several recordings, or a gap."""
    folder = source if source.is_dir() else source.parent
    if source.is_file() and _key(source) is None:
        return [source]
    groups: dict[str, list[Path]] = {}
    for path in _videos(folder):
        key = _key(path)
        groups.setdefault(path.name if key is None else key[0], []).append(path)
    if source.is_file():
        own = _key(source)
        found = groups.get(own[0] if own else "", [source])
    else:
        if len(groups) != 1:
            shown = ", ".join(paths[0].name for paths in list(groups.values())[:5])
            what = f"several recordings ({shown}): name the file of one" if groups else "no .mp4 file"
            raise DataError(f"{source}: has {what}")
        found = next(iter(groups.values()))
    ordered = sorted(found, key=lambda path: (_key(path) or ("", 0))[1])
    numbers = [(_key(path) or ("", 1))[1] for path in ordered]
    missing = sorted(set(range(1, numbers[-1] + 1)) - set(numbers))
    if numbers[0] > 1 or (missing and len(ordered) > 1):
        raise DataError(
            f"{ordered[0]}: is part of a recording whose chapter {missing[0]} is not in the folder; add it, or rename "
            "the file to import it alone"
        )
    return ordered


def _key(path: Path) -> tuple[str, int] | None:
    """Return the recording and the number of a chapter by its name; None if it has another name."""
    if match := _FIRST_OLD.fullmatch(path.stem):
        return f"GP{match['number']}", 1
    if match := _CHAPTER.fullmatch(path.stem):
        old = match["kind"].upper() == "GP"  # GP01 follows GOPR
        return f"{match['kind'].upper()}{match['number']}", int(match["chapter"]) + old
    return None
