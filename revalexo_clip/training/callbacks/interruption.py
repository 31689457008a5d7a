"""How a run ends early in good order: a signal is noted, and heeded between two steps, by all processes at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

import lightning.pytorch as pl

from revalexo_clip.core.errors import Interrupted
from revalexo_clip.training.distributed import rank

_WAIT = b"\nstopping between two steps (or after this validation), to save; Ctrl-C again ends at once\n"


class StopSignals(pl.Callback):
    """Notes SIGTERM and Ctrl-C while a run trains, and under SLURM SIGUSR1, the signal before a job's time is over.

    Lightning's own handlers are replaced: they save, or talk to other processes, in the middle of a step.
    """

    def __init__(self) -> None:
        self.number = 0
        """The signal that came; 0 for none."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen. When the run ends, Lightning brings back the handlers that were there before it began."""
        if trainer.received_sigterm:  # while the run was being set up
            self.number = signal.SIGTERM
        if threading.current_thread() is not threading.main_thread():  # others cannot have handlers
            return
        for number in (signal.SIGINT, signal.SIGTERM, *((signal.SIGUSR1,) if in_slurm_job() else ())):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self.number == signal.SIGINT:
                raise KeyboardInterrupt
            if rank() == 0:
                os.write(2, _WAIT)  # a stream could be in the middle of something
        self.number = max(self.number, number)


def in_slurm_job() -> bool:
    """Whether SLURM runs this process."""
    return "SLURM_JOB_ID" in os.environ


def interrupted(number: int, step: int, checkpoint: str | None) -> Interrupted:
    """What a run that was stopped by a signal ends with; `checkpoint` is what it can be resumed from."""
    by = signal.Signals(number).name if number != signal.SIGINT else "Ctrl-C"
    saved = f"saved as {checkpoint}; --resume goes on from there" if checkpoint else "there is nothing to save"
    return Interrupted(f"{by}, after step {step}; {saved}", number)
