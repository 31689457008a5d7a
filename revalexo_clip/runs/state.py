"""The state of a run: whether it is running, and how it ended.

A run holds a lock on its `log.txt` while a process works on it. `state.json` says how the work ended. A run that was
killed could not write that: its state is still `running`, and nobody holds the lock.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Literal, get_args

from revalexo_clip.core.errors import ConfigError, Interrupted, UserError
from revalexo_clip.core.files import WriteError, lock, write_json
from revalexo_clip.core.platform import keep_in_forks, release_in_forks

State = Literal["running", "finished", "failed", "stopped", "killed", "unknown"]
"""`stopped`: saved after a signal. `unknown`: begun by a version that kept no state."""
STATES: tuple[State, ...] = get_args(State)

STATE = "state.json"
"""Name of the file."""
_LOCKED = "log.txt"
_PATIENCE = 2.0
"""Time to wait for the lock [s]: whoever only looks at the state holds it for a moment."""
_DAY = 24 * 3600.0
"""Time after which a run without a lock that can be trusted counts as killed if nothing in it was written [s]."""


@dataclass(frozen=True)
class RunState:
    """The state of a run."""

    state: State
    error: str | None = None
    """Why it failed or was stopped."""


@dataclass
class Outcome:
    """How a run ends."""

    error: str | None = None
    """Why it failed, if it does not raise an error."""


@contextmanager
def recording_state(folder: Path) -> Iterator[Outcome]:
    """Record that a run is running, and when the block ends, that it is finished, or failed or was stopped, and why.

    Raises `ConfigError` if another process is working on the run.
    """
    with (folder / _LOCKED).open("ab") as file:
        _take(file, folder)
        try:
            _write(folder, "running")
            outcome = Outcome()
            yield outcome
        except BaseException as error:
            stopped = isinstance(error, Interrupted | KeyboardInterrupt)
            why = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            with suppress(WriteError):  # the disk may be full; then nothing hides the first error
                _write(folder, "stopped" if stopped else "failed", why)
            raise
        else:
            _write(folder, "failed" if outcome.error else "finished", outcome.error)
        finally:
            keep_in_forks(file.fileno())


def _take(file: IO[bytes], folder: Path) -> None:
    release_in_forks(file.fileno())  # workers of a loader may outlive the run
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            lock(file.fileno(), wait=False)  # some file systems have none
        except BlockingIOError as error:
            if time.monotonic() > end:
                keep_in_forks(file.fileno())
                raise ConfigError(f"{folder}: another process is working on it") from error
            time.sleep(_PATIENCE / 20)
        else:
            return


def _write(folder: Path, state: State, error: str | None = None) -> None:
    at = datetime.now().astimezone().isoformat(timespec="seconds")
    place = {"host": platform.node(), "pid": os.getpid()}
    write_json(folder / STATE, {"state": state, "at": at, "error": error, **place})


def state_of(folder: Path) -> RunState:
    """Return the state of a run."""
    try:
        found = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return RunState("unknown")
    if not isinstance(found, dict) or found.get("state") not in STATES:
        return RunState("unknown")
    if found["state"] != "running":
        return RunState(found["state"], found.get("error"))
    is_locked = _is_locked(folder / _LOCKED)
    if not is_locked and (is_locked is None or found.get("host") != platform.node()):
        # Without locks, or from another machine, which may not see them: a run writes now and then
        is_locked = time.time() - last_written(folder) < _DAY
    return RunState("running") if is_locked else RunState("killed", "its process has ended without a word")


def _is_locked(path: Path) -> bool | None:
    """Return whether a process holds the lock of a run; None if the file system has no locks."""
    try:
        with path.open("r+b") as file:  # NFS locks only files that may be written
            return None if not lock(file.fileno(), wait=False) else False
    except BlockingIOError:
        return True
    except OSError:
        return None


def last_written(folder: Path) -> float:
    """Return when something in a run folder was last written [s since the epoch]; symbolic links are not followed."""
    latest = folder.stat().st_mtime
    for parent, _, files in os.walk(folder):
        for name in files:
            latest = max(latest, (Path(parent) / name).lstat().st_mtime)
    return latest
