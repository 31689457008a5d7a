"""Run folders: made when a run starts, found again by resume, evaluate and export."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
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
    """Point `runs/latest` to a folder, if that is a run folder below `runs`, and the file system has symbolic links."""
    if folder.resolve().parent.parent != RUNS.resolve():
        return
    temporary = RUNS / f".latest.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    target = folder.resolve().relative_to(RUNS.resolve())
    try:
        temporary.symlink_to(target, target_is_directory=True)
        _replace_link(temporary, RUNS / "latest")
    except OSError as error:  # Windows has them for administrators; FAT has none. Run folders are found by their names
        log.info("%s: cannot point to %s: %s", RUNS / "latest", target, error.strerror or error)


def _replace_link(new: Path, old: Path) -> None:
    try:
        new.replace(old)
    except PermissionError:  # Windows replaces no link to a folder
        if old.is_symlink():
            old.unlink()
        new.replace(old)


def runs_of(name: str) -> list[Path]:
    """Return the run folders of an experiment, newest first."""
    return _stamped(RUNS / name)


def _stamped(parent: Path) -> list[Path]:
    """Return the run folders in the folder of an experiment, newest first."""
    return sorted((path for path in parent.glob("????????-??????*") if _is_run(path)), key=_started, reverse=True)


def _is_run(path: Path) -> bool:
    return is_stamped(path) and path.is_dir()


def is_stamped(path: Path) -> bool:
    """Return whether a path has the name of a run folder: `<yyyymmdd-hhmmss>`, perhaps with a number."""
    return re.fullmatch(r"\d{8}-\d{6}(-\d+)?", path.name) is not None


def _started(run: Path) -> tuple[str, int]:
    """Return the second in which a run started, and its number in that second."""
    return run.name[:15], int(run.name[16:] or 1)


def find_checkpoint(where: Path | None, suits: Callable[[Path], bool] | None = None) -> Path:
    """Return a checkpoint file: `where` itself, the best one of a run folder, or that of the newest run if None.

    The folder of all runs of an experiment stands for its newest run with a checkpoint. If `where` is None, the newest
    run with a checkpoint for which `suits` is true is taken, and logged. Raises `ConfigError` if there is none.
    """
    if where is None:
        return _newest_checkpoint(suits)
    if where.is_file():
        return where
    if not where.is_dir():
        raise ConfigError(f"{where}: no such checkpoint or run folder")
    if found := _best_in(where):
        return found
    for run in _stamped(where):
        if (run / "checkpoints" / "last.ckpt").is_file():
            return find_checkpoint(run)
    if parts := _parts_of(where):
        raise ConfigError(f"{where}: this is a run with {parts[0].parent.name}; pass one of them, such as {parts[0]}")
    raise ConfigError(f"{where}: this run has no checkpoint; it may have stopped before its first epoch ended")


def _newest_checkpoint(suits: Callable[[Path], bool] | None) -> Path:
    """Return the checkpoint of `runs/latest`, or of the newest run that has a suitable one."""
    latest = RUNS / "latest"
    newest = [RUNS / latest.readlink()] if latest.is_symlink() and latest.is_dir() else []
    stamped = [run for experiment in RUNS.glob("*") if not experiment.is_symlink() for run in _stamped(experiment)]
    runs = list(dict.fromkeys([*newest, *sorted(stamped, key=_started, reverse=True)]))
    if not runs:
        raise ConfigError(f"no run found in {RUNS.resolve()}; pass a checkpoint or a run folder with --ckpt")
    skipped: list[str] = []
    for run in runs:
        found = _best_in(run)
        if found and (suits is None or suits(found)):
            log.info("%s", "; ".join([f"no --ckpt: using {found}", *(f"the newer run {text}" for text in skipped[:1])]))
            return found
        parts = _parts_of(run)
        if parts and suits is None:  # any of them would do, so the user has to choose
            return find_checkpoint(run)
        lack = "has no checkpoint of the kind that is needed" if found or parts else "has no checkpoint"
        skipped.append(f"{run} {lack}")
    more = "" if len(runs) == 1 else f", and no older run in {RUNS} has one"
    raise ConfigError(f"{skipped[0]}{more}; a run may have stopped before its first epoch ended. Pass --ckpt CKPT|RUN")


def _best_in(run: Path) -> Path | None:
    """Return the best checkpoint of a run folder, or of its folder of checkpoints; else the last one."""
    candidates = ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "best.ckpt", "last.ckpt")
    found = next((candidate for candidate in candidates if (run / candidate).is_file()), None)
    if found is None:
        return None
    return (run.parent / run.readlink() if run.is_symlink() else run) / found


def _parts_of(run: Path) -> list[Path]:
    """Return the folds, variants or trials of a run."""
    return next(
        (parts for inside in ("folds", "variants", "trials") if (parts := sorted((run / inside).glob("*")))), []
    )


def folder_of(checkpoint: Path) -> Path:
    """Return the folder for results of a checkpoint: its run folder, or else the folder that contains it."""
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
