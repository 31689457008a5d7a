"""Which checkpoints a run keeps: the best three, the best of them as `best.ckpt`, and the last two.

All are written when an epoch ends, after its validation; the last also in between, as often as the experiment asks for
it, and when a signal stops the run.

How a run ends early in good order: a signal is noted, and heeded between two steps, by all processes at once.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from revalexo_clip.core.errors import Interrupted
from revalexo_clip.core.files import link_atomically
from revalexo_clip.training.callbacks.early_stopping import LOSS, Monitored
from revalexo_clip.training.distributed import fail_on_all_ranks, largest, rank

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
            if signal.getsignal(number) != signal.SIG_IGN:  # `nohup rxclip ... &` leaves Ctrl-C to other programs
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


class BestCheckpoints(ModelCheckpoint):
    """Lightning's checkpoints, with `best.ckpt` always being the best so far."""

    def __init__(self, folder: Path, monitored: Monitored = LOSS) -> None:
        called = monitored.name.removeprefix("val/")
        super().__init__(
            dirpath=folder,
            filename=f"epoch={{epoch:03d}}-{called}={{{monitored.name}:.4f}}",
            auto_insert_metric_name=False,
            monitor=monitored.name,
            mode=monitored.best,
            save_top_k=3,
            save_on_train_epoch_end=True,
            enable_version_counter=False,  # an epoch that is repeated after a crash writes the same file again
        )
        self._linked = ""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save as Lightning does, then let `best.ckpt` follow."""
        super().on_train_epoch_end(trainer, pl_module)
        best = Path(self.best_model_path)
        if trainer.is_global_zero and self.best_model_path != self._linked and best.is_file():
            link_atomically(best, best.with_name("best.ckpt"))
            self._linked = self.best_model_path

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """What was best so far, in the folder where it lies now: Lightning forgets it when a folder has moved."""
        models = state_dict["best_k_models"]
        assert isinstance(models, dict)
        super().load_state_dict(
            {
                **state_dict,
                **{name: self._here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path")},
                "dirpath": self.dirpath,
                "best_k_models": {self._here(path): score for path, score in models.items()},
            }
        )

    def _here(self, path: object) -> str:
        assert self.dirpath is not None
        return str(Path(self.dirpath) / Path(str(path)).name) if path else ""


class LastCheckpoint(Checkpoint):
    """`last.ckpt`, where the run stands, and the one before it. It comes after `BestCheckpoints`, and holds what that knows.

    `minutes` is how much work may be lost to a crash: `last.ckpt` is written that often between the ends of epochs.
    A signal that was noted stops the run here, between two steps, after another write.
    """

    def __init__(self, folder: Path, *, minutes: float | None = None, signals: StopSignals | None = None) -> None:
        self.path = folder / "last.ckpt"
        self.minutes = minutes
        self.signals = signals or StopSignals()
        self._written, self._step = time.monotonic(), 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._written, self._step = time.monotonic(), trainer.global_step

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Save or stop, if it is time: the step before is done, logged and all, and this one has not begun.

        Before an epoch's first step there is nothing to save that was not saved when the epoch before it ended.
        """
        number, due = largest([self.signals.number, self._is_due(trainer)], pl_module.device)
        if batch_idx and (number or due):
            self._save(trainer)
        if number:
            fail_on_all_ranks(interrupted(number, trainer.global_step, str(self.path) if trainer.global_step else None))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save."""
        self._save(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Between two steps, let the checkpoint not count the batch that was fetched for the next one."""
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for counts in (progress["total"], progress["current"]):
            if counts["ready"] > counts["started"]:
                counts["ready"] = counts["started"]
                progress["is_last_batch"] = False

    def _is_due(self, trainer: pl.Trainer) -> bool:
        if self.minutes is None or not trainer.is_global_zero or trainer.global_step == self._step:
            return False
        return time.monotonic() - self._written >= 60 * self.minutes

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path, storage_options={"keep_old_as": "previous.ckpt"})
        self._written, self._step = time.monotonic(), trainer.global_step
