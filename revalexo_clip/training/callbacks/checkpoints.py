"""The checkpoints of a run, and stopping it by a signal.

A run keeps its best three checkpoints, the best of them also as `best.ckpt`, and its last two. All are written at the
end of an epoch, after validation. The last one is also written within epochs, at an interval that the experiment sets,
and when a signal stops the run: all processes stop together, between two steps.
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
from revalexo_clip.core.platform import existing_signals
from revalexo_clip.runs.resume_state import BEST_CHECKPOINTS
from revalexo_clip.training.base_module import TrainingModule
from revalexo_clip.training.callbacks.early_stopping import LAST, LOSS, Monitored
from revalexo_clip.training.distributed import fail_on_all_ranks, largest, rank, world_size
from revalexo_clip.training.outcomes import Ballot

_WAIT = b"\nstopping after this step or validation, to save a checkpoint; press Ctrl-C again to stop at once\n"


class StopSignals(pl.Callback):
    """Records SIGTERM and Ctrl-C during training, and SIGUSR1 under SLURM, which comes before a job's time is over.

    This replaces Lightning's own handlers, which save or communicate with other processes in the middle of a step.
    """

    def __init__(self) -> None:
        self.number = 0
        """Number of the signal that was received; 0 for none."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Install the handlers. When the run ends, Lightning restores the previous ones."""
        if trainer.received_sigterm:  # received during setup
            self.number = signal.SIGTERM
        # Lightning would exchange signals of its handlers in every step, for which the host waits.
        trainer.fit_loop.epoch_loop.__dict__["_broadcast_sigterm_tensor"] = lambda: None
        if threading.current_thread() is not threading.main_thread():  # only the main thread can have handlers
            return
        for number in existing_signals("SIGINT", "SIGTERM", *(("SIGUSR1",) if in_slurm_job() else ())):
            if signal.getsignal(number) != signal.SIG_IGN:  # `nohup rxclip ... &` leaves Ctrl-C to other programs
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self.number == signal.SIGINT:
                raise KeyboardInterrupt
            if rank() == 0:
                os.write(2, _WAIT)  # a stream may be in use by the interrupted code
        self.number = max(self.number, number)


def in_slurm_job() -> bool:
    """Return whether SLURM runs this process."""
    return "SLURM_JOB_ID" in os.environ


def interrupted(number: int, step: int, checkpoint: str | None) -> Interrupted:
    """Return the error that ends a run stopped by a signal; `checkpoint` is the file to resume from."""
    by = signal.Signals(number).name if number != signal.SIGINT else "Ctrl-C"
    saved = f"saved as {checkpoint}; resume with --resume" if checkpoint else "there is nothing to save"
    return Interrupted(f"{by}, after step {step}; {saved}", number)


class BestCheckpoints(ModelCheckpoint):
    """Lightning's best checkpoints, with `best.ckpt` always the best so far."""

    state_key = BEST_CHECKPOINTS

    def __init__(self, folder: Path, monitored: Monitored = LOSS) -> None:
        metric = monitored.name.removeprefix("val/")
        super().__init__(
            dirpath=folder,
            filename="epoch={epoch:03d}" + ("" if monitored == LAST else f"-{metric}={{{monitored.name}:.4f}}"),
            auto_insert_metric_name=False,
            monitor=monitored.name,
            mode=monitored.best,
            save_top_k=3,
            save_on_train_epoch_end=True,
            enable_version_counter=False,  # an epoch that is repeated after a crash overwrites its file
        )
        self._linked = ""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save as Lightning does, then update `best.ckpt`."""
        super().on_train_epoch_end(trainer, pl_module)
        best = Path(self.best_model_path)
        if trainer.is_global_zero and self.best_model_path != self._linked and best.is_file():
            link_atomically(best, best.with_name("best.ckpt"))
            self._linked = self.best_model_path

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """Restore the best checkpoints so far, in the folder's present place: Lightning drops them if it was moved."""
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
    """`last.ckpt`, the current state of the run, and `previous.ckpt`, the one before.

    It must come after `BestCheckpoints` in the list of callbacks, because it saves their state. `minutes` is the
    interval at which `last.ckpt` is also written within epochs, the work that a crash can cost at most. If a signal was
    received, the run stops here, between two steps, after saving.
    """

    def __init__(self, folder: Path, *, minutes: float | None = None, signals: StopSignals | None = None) -> None:
        self.path = folder / "last.ckpt"
        self.minutes = minutes
        self.signals = signals or StopSignals()
        self._written, self._step = time.monotonic(), 0
        self._requested = False
        self._at_once = True
        """Whether processes agree before the next step, instead of in the exchange of the step before."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._written, self._step = time.monotonic(), trainer.global_step
        self._at_once = True
        if isinstance(pl_module, TrainingModule):
            pl_module.ask = lambda: self._ask(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Agree before the first step: a signal may have come during validation."""
        self._at_once = True

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Save or stop if it is time: the step before is done and logged, and this one has not started.

        Before the first step of an epoch, everything was already saved at the end of the epoch before.
        """
        agreed = self._agreed(trainer, pl_module)
        if batch_idx and (agreed.signal or agreed.save):
            if isinstance(pl_module, TrainingModule):
                pl_module.settle()
            self._save(trainer)
        if agreed.signal:
            saved = str(self.path) if trainer.global_step else None
            fail_on_all_ranks(interrupted(agreed.signal, trainer.global_step, saved))

    def _ask(self, trainer: pl.Trainer) -> Ballot:
        due = self._is_due(trainer)
        self._requested |= due and world_size() > 1  # a single process asks itself again before the next step
        return Ballot(save=due, signal=self.signals.number)

    def _agreed(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Ballot:
        agreed, module = Ballot(), pl_module if isinstance(pl_module, TrainingModule) else None
        if module is not None:
            agreed, module.agreed = module.agreed, agreed
        at_once, self._at_once = self._at_once or world_size() == 1, False
        if at_once or module is None:
            signal, save = largest([self.signals.number, self._is_due(trainer)], pl_module.device)
            return Ballot(save=bool(save), signal=signal)
        return agreed._replace(save=agreed.save or self.minutes == 0)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save."""
        self._save(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Exclude the batch that was fetched for the next step from the counts of the checkpoint."""
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for counts in (progress["total"], progress["current"]):
            if counts["ready"] > counts["started"]:
                counts["ready"] = counts["started"]
                progress["is_last_batch"] = False

    def _is_due(self, trainer: pl.Trainer) -> bool:
        if self.minutes is None or not trainer.is_global_zero or trainer.global_step == self._step or self._requested:
            return False
        return time.monotonic() - self._written >= 60 * self.minutes

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.path, storage_options={"keep_old_as": "previous.ckpt"})
        self._written, self._step, self._requested = time.monotonic(), trainer.global_step, False
