"""Write into output folders without destroying what is there: files of somebody else, or an earlier export."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.files import UNPICKLING_ERRORS, WriteError
from revalexo_clip.export.description import CARD, DESCRIPTION, Noun, noun_of

REVALEXO_FILE = "encoder.pt"
LIBRARY = "library_name: revalexo_clip"
"""Line in the header of every model card."""


def refuse_files_of_others(folder: Path, names: Sequence[str], noun: Noun = "encoder") -> None:
    """Raise `ConfigError` if the folder has files of these names, and they are not those of an earlier export.

    `noun` is what is exported: an encoder does not replace a classifier, nor the other way round.
    """
    found = [name for name in names if (folder / name).exists()]
    held = _noun_in(folder)
    if held is not None and held != noun:
        raise ConfigError(f"--out: {folder} has an exported {held}; nothing was written. Choose another folder")
    if not found or held is not None or _has_our_card(folder):
        return
    if found == [REVALEXO_FILE] and _is_state_dict(folder / REVALEXO_FILE):
        return
    raise ConfigError(
        f"--out: {folder} has {' and '.join(found)}, and is not an earlier export; nothing was written. Choose another "
        "folder, or move what is there"
    )


def _noun_in(folder: Path) -> Noun | None:
    """Return what an exported folder holds, by its description; None if it has none."""
    try:
        return noun_of(json.loads((folder / DESCRIPTION).read_bytes()))
    except (OSError, ValueError):
        return None


def _has_our_card(folder: Path) -> bool:
    """Return whether a folder has the model card of an export."""
    try:
        head = (folder / CARD).read_text(encoding="utf-8").partition("\n---")[0]
    except (OSError, ValueError):
        return False
    return LIBRARY in head.splitlines()


def _is_state_dict(path: Path) -> bool:
    """Return whether a file is a state dict with RevalExo's names."""
    try:
        content: object = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, *UNPICKLING_ERRORS):
        return False
    return isinstance(content, dict) and {"conv1.weight", "lstm.weight_hh_l0"} <= content.keys()


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give a temporary folder inside `folder`, from which files are moved into it once all of them are written.

    Removes it at the end, and `folder` too if nothing was moved into it. Raises `WriteError` if it cannot be created.
    """
    stage = folder / f".{os.getpid()}-export"
    try:
        stage.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        with suppress(OSError):
            folder.rmdir()


def move(stage: Path, folder: Path, names: Sequence[str], *, without: Sequence[str]) -> None:
    """Delete the files `without` from a folder, then move files of these names into it, in this order.

    Raises `WriteError`, naming the file, if one cannot be replaced.
    """
    place = folder
    try:
        for place in (folder / name for name in without):
            place.unlink(missing_ok=True)
        for place in (folder / name for name in names):
            (stage / place.name).replace(place)
    except OSError as error:
        raise WriteError(f"{place}: cannot be written: {error.strerror or error}") from error
