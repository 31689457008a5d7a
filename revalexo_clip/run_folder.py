"""The folder of a run: made when a run starts, logged to, found again by evaluate and export."""

from __future__ import annotations

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

from revalexo_clip.component import JsonObject
from revalexo_clip.errors import ConfigError

log = logging.getLogger("revalexo_clip")

RUNS = Path("runs")
"""Where runs are kept, in the folder that rxclip is called from."""
_VARIABLE = "RXCLIP_RUN_FOLDER"
"""Tells the processes that a run starts on its machine which folder it has."""


def new_run_folder(name: str) -> Path:
    """Create `runs/<name>/<yyyymmdd-hhmmss>`, with `runs/latest` pointing to it; once for all of a run's processes."""
    if inherited := os.environ.get(_VARIABLE):
        return Path(inherited)
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    for attempt in range(1, 1000):
        folder = RUNS / name / (stamp if attempt == 1 else f"{stamp}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        break
    else:
        raise ConfigError(f"{RUNS / name}: cannot make a folder for this run")
    (folder / "checkpoints").mkdir()
    _point_latest(folder)
    os.environ[_VARIABLE] = str(folder)
    return folder


def forget_run_folder() -> None:
    """Let the next run of this process have a folder of its own."""
    os.environ.pop(_VARIABLE, None)


def _point_latest(folder: Path) -> None:
    temporary = RUNS / f".latest.{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder.relative_to(RUNS), target_is_directory=True)
    temporary.replace(RUNS / "latest")


def find_checkpoint(where: Path | None) -> Path:
    """The checkpoint that a user means: a file, a run folder (its best), or nothing (the newest run's best).

    Raises `ConfigError` where there is none.
    """
    if where is None:
        where = RUNS / "latest"
        if not where.exists():
            raise ConfigError(f"no run found in {RUNS.resolve()}; name a checkpoint or a run folder with --ckpt")
    if where.is_file():
        return where
    if not where.is_dir():
        raise ConfigError(f"{where}: no such checkpoint or run folder")
    for candidate in ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "best.ckpt", "last.ckpt"):
        if (where / candidate).is_file():
            return (where.parent / where.readlink() if where.is_symlink() else where) / candidate
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


def end_log() -> None:
    """Close the file that `start_log` opened."""
    for handler in [handler for handler in log.handlers if isinstance(handler, logging.FileHandler)]:
        log.removeHandler(handler)
        handler.close()
