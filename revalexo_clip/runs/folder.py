"""Run folders: made when a run starts, found again by resume, evaluate and export."""

from __future__ import annotations

import logging
import os
from datetime import datetime
from pathlib import Path

from revalexo_clip.core.errors import ConfigError

log = logging.getLogger("revalexo_clip")

RUNS = Path("runs")
"""Folder of all runs, below the working directory."""

_VARIABLE = "RXCLIP_RUN_FOLDER"
"""Passes the run folder to the processes that a run starts on its machine."""


def new_run_folder(name: str, *, leader: bool = True) -> Path:
    """Create `runs/<name>/<yyyymmdd-hhmmss>` and point `runs/latest` to it, once for all processes of a run.

    Processes that a scheduler starts beside the leader write nothing; they get `runs/<name>` as a placeholder.
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
    """Create `runs/<name>/<yyyymmdd-hhmmss>`, with a number appended if it exists."""
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    for attempt in range(1, 1000):
        folder = RUNS / name / (stamp if attempt == 1 else f"{stamp}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise ConfigError(f"{RUNS / name}: cannot create a folder for this run: too many started in this second")


def use_run_folder(folder: Path) -> None:
    """Make a folder the one of this run: point `runs/latest` to it, and share it with the processes the run starts."""
    make_newest(folder)
    os.environ[_VARIABLE] = str(folder)


def inherited_run_folder() -> Path | None:
    """Return the run folder that the parent process chose, if this process belongs to its run."""
    inherited = os.environ.get(_VARIABLE)
    return Path(inherited) if inherited else None


def forget_run_folder() -> None:
    """Let the next run of this process create its own folder."""
    os.environ.pop(_VARIABLE, None)


def make_newest(folder: Path) -> None:
    """Point `runs/latest` to a folder, if that is a run folder below `runs`."""
    if folder.resolve().parent.parent != RUNS.resolve():
        return
    temporary = RUNS / f".latest.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder.resolve().relative_to(RUNS.resolve()), target_is_directory=True)
    temporary.replace(RUNS / "latest")


def runs_of(name: str) -> list[Path]:
    """Return the run folders of an experiment, newest first."""
    return _stamped(RUNS / name)


def _stamped(parent: Path) -> list[Path]:
    folders = [path for path in parent.glob("????????-??????*") if path.is_dir()]
    return sorted(folders, key=lambda path: (path.name[:15], int(path.name[16:] or 1)), reverse=True)


def find_checkpoint(where: Path | None) -> Path:
    """Return a checkpoint file: `where` itself, the best one of a run folder, or that of the newest run if None.

    The folder of all runs of an experiment stands for its newest run with a checkpoint. Raises `ConfigError` if there
    is none.
    """
    if where is None:
        where = RUNS / "latest"
        if not where.exists():
            raise ConfigError(f"no run found in {RUNS.resolve()}; pass a checkpoint or a run folder with --ckpt")
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
            raise ConfigError(f"{where}: this is a run with {inside}; pass one of them, such as {parts[0]}")
    raise ConfigError(f"{where}: this run has no checkpoint; it may have stopped before its first epoch ended")


def folder_of(checkpoint: Path) -> Path:
    """Return the folder for results of a checkpoint: its run folder, or else the folder that contains it."""
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
