"""Signs of life of processes that write a pack, on any machine, so that nothing is removed under them.

Each process that packs keeps a file in `writers/`, and touches it while it runs. Locks are not needed: shards are never
changed, and processes that pack at once complete each other. Only pruning has to be alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from revalexo_clip.data.revalexo.pack.exclusive import BusyError
from revalexo_clip.data.revalexo.pack.folder import WRITERS
from revalexo_clip.data.revalexo.pack.temporary import PREFIX, temporary_name

BEAT = 20.0
"""Time between two signs of life [s]."""
SILENCE = 600.0
"""Time after which a process without a sign of life has ended [s]."""
ATTEMPTS = 10
"""How often a file is written to a folder that other processes remove when it is empty."""
_PRUNING = ".prune"


@contextmanager
def writing(path: Path, *, alone: bool = False) -> Iterator[Path]:
    """Show that this process writes the pack at `path`, or that it prunes it (`alone`); yield the file that shows it.

    Raises `BusyError` if another process prunes it, or, if `alone`, writes it; and `OSError`.
    """
    folder = path / WRITERS
    own = folder / temporary_name(_PRUNING if alone else "")
    for left in reversed(range(ATTEMPTS)):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            own.open("xb").close()
            break
        except FileNotFoundError:  # another process that ended has just removed the empty folder
            if not left:
                raise
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(own, ended), daemon=True)
    try:
        for other in others(path, own):  # after our own file is there: of two, at least one sees the other
            if alone or other.name.endswith(_PRUNING):
                what = "prunes" if other.name.endswith(_PRUNING) else "writes"
                raise BusyError(
                    f"{path}: another process {what} it ({other.name.removeprefix(PREFIX)}, a sign of life from less "
                    f"than {SILENCE / 60:.0f} minutes ago); wait for it, or stop it"
                )
        beat.start()
        yield own
    finally:
        ended.set()
        with suppress(OSError):
            own.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()  # if it is empty


def others(path: Path, own: Path) -> list[Path]:
    """Return the signs of other processes that write or prune a pack, and remove those of processes that have ended."""
    found = []
    for file in sorted((path / WRITERS).glob(f"{PREFIX}*")):
        if file == own:
            continue
        try:
            os.utime(own)
            silent = own.stat().st_mtime - file.stat().st_mtime  # both by the clock of the file system
        except FileNotFoundError:
            continue
        if silent > SILENCE or _has_ended(file.name):
            file.unlink(missing_ok=True)
        else:
            found.append(file)
    return found


def _has_ended(name: str) -> bool:
    """Return whether a process of this machine has ended; of those of other machines this is not known."""
    node, _, rest = name.removeprefix(PREFIX).rpartition("-")[0].rpartition("-")
    if temporary_name().removeprefix(PREFIX).rpartition("-")[0].rpartition("-")[0] != node or not rest.isdigit():
        return False
    if not hasattr(os, "fork"):  # Windows: signal 0 would end the process
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _beat(own: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with suppress(OSError):
            os.utime(own)
