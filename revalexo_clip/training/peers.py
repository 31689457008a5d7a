"""The processes that a run starts on its machine end with it, and it with them: none is left, and none goes unsaid.

Lightning watches them too, and where one fails it kills the first process before that has spoken.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time

import lightning.pytorch as pl
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from revalexo_clip.training.agreement import LOST, speak

_INTERVAL = 0.2
"""How often to look [s]."""


class WatchPeers(pl.Callback):
    """Lets the first process of a machine watch those that Lightning started beside it, and those watch the first."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Begin to watch."""
        launcher = trainer.strategy.launcher
        if isinstance(launcher, _SubprocessScriptLauncher) and launcher.procs:
            children = list(launcher.procs)
            launcher.procs.clear()  # Lightning's observer holds the same list, and finds nothing to do
            threading.Thread(target=_watch, args=(children,), daemon=True).start()


def leave_with_parent() -> None:
    """End this process, one that a run started, when the process that started it is gone."""
    threading.Thread(target=_wait_for_end_of, args=(os.getppid(),), daemon=True).start()


def _wait_for_end_of(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_INTERVAL)
    os._exit(1)


def _watch(children: list[subprocess.Popen[bytes]]) -> None:
    while any(child.poll() is None for child in children):
        failed = next((child for child in children if child.returncode), None)
        if failed is not None:
            break
        time.sleep(_INTERVAL)
    failed = next((child for child in children if child.returncode), None)
    if failed is None:
        return
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
    if speak():
        how = f" by {signal.Signals(-failed.returncode).name}" if failed.returncode < 0 else ""
        cursor = "\x1b[?25h" if os.isatty(2) else ""  # which a progress bar hides
        os.write(2, f"{cursor}error: {LOST}{how}\n".encode())
        os._exit(1)
