"""The folder of a run: made when a run starts, logged to, found again by evaluate and export."""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path

import torch

from revalexo_clip.core.component import JsonObject
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


def slurm_job() -> str | None:
    """The SLURM job that this process belongs to; it keeps its name when it is requeued."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ.get("SLURM_JOB_ID")


def requeued_job() -> str | None:
    """The SLURM job, if it runs anew after it was requeued."""
    return slurm_job() if int(os.environ.get("SLURM_RESTART_COUNT", "0")) else None


def jobs_of(folder: Path) -> set[str | None]:
    """The SLURM jobs that a run was begun and resumed in."""
    path = folder / "environment.json"
    begun = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {part.get("slurm_job") for part in (begun, *begun.get("resumed", []))}


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
    for inside in ("folds", "arms"):
        if parts := sorted((where / inside).glob("*")):
            raise ConfigError(f"{where}: a run in {inside}; name the run of one of them, {parts[0]} or another")
    raise ConfigError(f"{where}: this run has no checkpoint (it may have stopped before its first epoch ended)")


def folder_of(checkpoint: Path) -> Path:
    """Where what is made from a checkpoint belongs: its run folder, or the folder that it lies in."""
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent


def environment() -> JsonObject:
    """Versions, machine and git state that a run is made with."""
    packages = ("torch", "lightning", "pytorchvideo", "pydantic", "numpy", "av", "revalexo-clip")
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "command": [*sys.argv],
        "slurm_job": slurm_job(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in packages},
        "cuda": torch.version.cuda,
        "gpus": list(devices),
        "cpus": os.cpu_count(),
        "git": _git_state(),
    }


def _git_state() -> JsonObject | None:
    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (subprocess.CalledProcessError, FileNotFoundError):  # not a repository, or no git: nothing to record
        return None


@contextmanager
def kept_log() -> Iterator[list[logging.LogRecord]]:
    """What is logged before there is a run folder to log to."""
    keeper = _Keeper()
    log.addHandler(keeper)
    try:
        yield keeper.said
    finally:
        log.removeHandler(keeper)


class _Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record)


def start_log(folder: Path, said: Iterable[logging.LogRecord]) -> None:
    """Log to `log.txt` in a run folder from now on, after what was said before."""
    handler = logging.FileHandler(folder / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for record in said:
        handler.handle(record)
    log.addHandler(handler)
    if not log.isEnabledFor(logging.INFO):  # the command line enables it; a program that calls `pretrain` need not
        log.setLevel(logging.INFO)


def note(text: str) -> None:
    """Say something in `log.txt` alone."""
    record = log.makeRecord(log.name, logging.INFO, "", 0, text, (), None)
    for handler in log.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def end_log() -> None:
    """Close the file that `start_log` opened."""
    for handler in [handler for handler in log.handlers if isinstance(handler, logging.FileHandler)]:
        log.removeHandler(handler)
        handler.close()
