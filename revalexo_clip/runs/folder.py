"""The folder of a run: made when a run starts, logged to, found again by evaluate and export."""

from __future__ import annotations

import logging
import os
from datetime import datetime
from pathlib import Path

from revalexo_clip.core.errors import ConfigError

log = logging.getLogger("revalexo_clip")

RUNS = Path("runs")
"""Where runs are kept, in the folder that rxclip is called from."""


_VARIABLE = "RXCLIP_RUN_FOLDER"
"""Tells the processes that a run starts on its machine which folder it has."""


def new_run_folder(name: str, *, leader: bool = True) -> Path:
    """Create `runs/<name>/<yyyymmdd-hhmmss>`, with `runs/latest` pointing to it; once for all of a run's processes.

    Those that a scheduler starts beside the leader on their own write nothing, and are given a name that stands for it.
    """
    if inherited := inherited_run_folder():
        return inherited
    if not leader:
        return RUNS / name
    folder = stamped_folder(name)
    (folder / "checkpoints").mkdir()
    use_run_folder(folder)
    return folder


def stamped_folder(name: str) -> Path:
    """Create `runs/<name>/<yyyymmdd-hhmmss>`, with a number after it where there is one already."""
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    for attempt in range(1, 1000):
        folder = RUNS / name / (stamp if attempt == 1 else f"{stamp}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise ConfigError(f"{RUNS / name}: cannot make a folder for this run")


def use_run_folder(folder: Path) -> None:
    """Make a folder that of this run: the newest one, shared with the processes that the run starts."""
    make_newest(folder)
    os.environ[_VARIABLE] = str(folder)


def inherited_run_folder() -> Path | None:
    """The folder of the run that this process takes part in, where another process has chosen it."""
    inherited = os.environ.get(_VARIABLE)
    return Path(inherited) if inherited else None


def forget_run_folder() -> None:
    """Let the next run of this process have a folder of its own."""
    os.environ.pop(_VARIABLE, None)


def make_newest(folder: Path) -> None:
    """Let `runs/latest` point to a folder, if it is one of an experiment's there."""
    if folder.resolve().parent.parent != RUNS.resolve():
        return
    temporary = RUNS / f".latest.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder.resolve().relative_to(RUNS.resolve()), target_is_directory=True)
    temporary.replace(RUNS / "latest")


def runs_of(name: str) -> list[Path]:
    """The run folders of an experiment, the newest first."""
    return _stamped(RUNS / name)


def _stamped(parent: Path) -> list[Path]:
    folders = [path for path in parent.glob("????????-??????*") if path.is_dir()]
    return sorted(folders, key=lambda path: (path.name[:15], int(path.name[16:] or 1)), reverse=True)


def find_checkpoint(where: Path | None) -> Path:
    """The checkpoint that a user means: a file, a run folder (its best), or nothing (the newest run's best).

    The folder of all runs of an experiment stands for the newest of them that has a checkpoint. Raises `ConfigError`
    where there is none.
    """
    if where is None:
        where = RUNS / "latest"
        if not where.exists():
            raise ConfigError(f"no run found in {RUNS.resolve()}; name a checkpoint or a run folder with --ckpt")
    if where.is_file():
        return where
    if not where.is_dir():
        raise ConfigError(f"{where}: no such checkpoint or run folder")
    candidates = ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "best.ckpt", "last.ckpt")
    if found := next((candidate for candidate in candidates if (where / candidate).is_file()), None):
        return (where.parent / where.readlink() if where.is_symlink() else where) / found
    for run in _stamped(where):
        if (run / "checkpoints" / "last.ckpt").is_file():
            return find_checkpoint(run)
    for inside in ("folds", "variants"):
        if parts := sorted((where / inside).glob("*")):
            raise ConfigError(f"{where}: a run in {inside}; name the run of one of them, {parts[0]} or another")
    raise ConfigError(f"{where}: this run has no checkpoint (it may have stopped before its first epoch ended)")


def folder_of(checkpoint: Path) -> Path:
    """Where what is made from a checkpoint belongs: its run folder, or the folder that it lies in."""
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
