"""A training run of either kind: from an experiment to a run folder with checkpoints."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console

from revalexo_clip.config.base import Experiment
from revalexo_clip.config.trackers import library_of
from revalexo_clip.core.console import counting
from revalexo_clip.core.errors import Interrupted, UserError
from revalexo_clip.core.files import write_json
from revalexo_clip.core.platform import existing_signals
from revalexo_clip.runs.checkpoint import AtomicCheckpointIO, CheckpointMetadata
from revalexo_clip.runs.environment import environment, slurm_job
from revalexo_clip.runs.folder import forget_run_folder, inherited_run_folder, new_run_folder, use_run_folder
from revalexo_clip.runs.log import end_log, kept_log, note, start_log
from revalexo_clip.runs.options import RunOptions
from revalexo_clip.runs.part_folder import write_experiment
from revalexo_clip.runs.resume import LoadCheckpoint, Resumed, find_resumed
from revalexo_clip.runs.state import recording_state
from revalexo_clip.training.callbacks.checkpoints import BestCheckpoints, LastCheckpoint, StopSignals
from revalexo_clip.training.callbacks.component_outputs import ComponentOutputs
from revalexo_clip.training.callbacks.data_wait import DataWaitMonitor
from revalexo_clip.training.callbacks.early_stopping import Monitored, early_stopping
from revalexo_clip.training.callbacks.weight_averaging import averaging
from revalexo_clip.training.distributed import PeerMonitor, connected, leave_process_group, leave_with_parent
from revalexo_clip.training.failures import enough_memory, own_code_named
from revalexo_clip.training.loaders import PairsDataModule
from revalexo_clip.training.metrics_file import EpochRow, MetricsFile
from revalexo_clip.training.summary import recordings_of
from revalexo_clip.training.trackers import start_trackers
from revalexo_clip.training.trainer import build_trainer

log = logging.getLogger("revalexo_clip")


class Trainable(Protocol):
    """Everything that a training needs, built."""

    @property
    def module(self) -> pl.LightningModule:
        """The Lightning module."""

    @property
    def data(self) -> PairsDataModule:
        """The data module."""

    @property
    def description(self) -> CheckpointMetadata:
        """Metadata of its checkpoints."""

    @property
    def frames(self) -> int:
        """Number of video frames of a window."""


P = TypeVar("P", bound=Trainable)


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    leader: bool
    """Whether this is the first of its processes, which does everything that must be done once."""


@dataclass(frozen=True)
class Training(ABC, Generic[P]):
    """One kind of training."""

    experiment: Experiment
    source: Path | None
    """The experiment's file; the run keeps a copy."""
    console: Console
    """Console that shows the progress."""
    options: RunOptions = field(default_factory=RunOptions)

    @abstractmethod
    def build(self, *, resumed: bool) -> P:
        """Build everything that the training needs. If it is resumed, pretrained weights are not loaded.

        Raises `ConfigError` or `DataError` if the experiment cannot run.
        """

    @abstractmethod
    def announce(self, setup: P, folder: Path) -> None:
        """Log what is about to be trained, and on which data."""

    @abstractmethod
    def callbacks(self) -> list[Callback]:
        """Return the callbacks of this kind of training, such as its progress bar."""

    @property
    @abstractmethod
    def monitored(self) -> Monitored:
        """The metric that checkpoints are chosen by."""

    @property
    @abstractmethod
    def load(self) -> LoadCheckpoint:
        """The function that reads its checkpoints."""

    @property
    def reads_video(self) -> bool:
        """Whether videos are read, so that packing them pays off."""
        return True

    def run(self) -> Run:
        """Train, or resume the run that `options` name.

        Raises `ConfigError` or `DataError` before anything is written if the experiment cannot run, `Interrupted` if a
        signal stopped it.
        """
        experiment = self.experiment
        if inherited_run_folder():
            leave_with_parent()
        leader = leads(experiment)
        for tracker in experiment.trainer.loggers:
            library_of(tracker)
        with kept_log() as records:
            resumed = find_resumed(experiment, self.options, self.load)
            if resumed and resumed.finished(experiment):
                log.info("%s", resumed.describe_progress(experiment))
                if leader:
                    with recording_state(resumed.folder):  # it may have been killed after its last checkpoint
                        _complete_metrics(resumed)
                return Run(resumed.folder, leader)
            training = replace(self, experiment=resumed.with_kept_files(experiment)) if resumed else self
            if self.reads_video and experiment.data.unprepared():
                training.build(resumed=resumed is not None)  # check that it can run before the long packing
                with counting("packing", self.console) as on_progress:
                    experiment.data.prepare(on_progress, leader=leader)
            setup = training.build(resumed=resumed is not None)
            if resumed:
                resumed.refuse_other_data(setup.description)
        folder = resumed.folder if resumed else new_run_folder(experiment.name, leader=leader)
        with ExitStack() as stack:
            stack.callback(forget_run_folder)
            stack.callback(end_log)
            if leader:
                stack.enter_context(recording_state(folder))
                use_run_folder(folder)
                start_log(folder, records)
                self._record(folder, setup, resumed)
                if resumed:
                    _complete_metrics(resumed)
                training.announce(setup, folder)
                if resumed:
                    log.info("%s", resumed.describe_progress(experiment))
            training._fit(setup, folder, resumed, leader=leader)
        return Run(folder, leader)

    def _fit(self, setup: P, folder: Path, resumed: Resumed | None, *, leader: bool) -> None:
        config = self.experiment.trainer
        trackers = start_trackers(self.experiment, folder) if leader else []
        step = resumed.checkpoint.step if resumed else 0
        signals = StopSignals()
        trainer = build_trainer(
            config,
            [
                *averaging(config),
                PeerMonitor(),
                signals,
                EpochRow(),
                BestCheckpoints(folder / "checkpoints", self.monitored),
                LastCheckpoint(folder / "checkpoints", minutes=config.checkpoint_minutes, signals=signals),
                DataWaitMonitor(),
                ComponentOutputs(self.experiment),
                *self.callbacks(),
                *early_stopping(config, self.monitored),
            ],
            loggers=[
                MetricsFile(folder / "metrics.csv", step),
                TensorBoardLogger(folder, name="", version="", sub_dir="tensorboard", purge_step=step or None),
                *trackers,
            ],
            checkpoint_io=AtomicCheckpointIO(),
            folder=folder,
        )
        try:
            with connected(), own_code_named(folder / "log.txt"), enough_memory(self.experiment, setup.frames):
                trainer.fit(setup.module, datamodule=setup.data, ckpt_path=resumed.checkpoint.path if resumed else None)
            leave_process_group()
        except UserError as error:
            note(f"{error.kind}: {error}")
            if isinstance(error, Interrupted) and error.number in existing_signals("SIGUSR1"):
                _requeue()
            raise
        except SystemExit as ended:
            if isinstance(ended.__context__, KeyboardInterrupt):  # Lightning turns it into exit code 1
                raise KeyboardInterrupt from ended
            raise

    def _record(self, folder: Path, setup: P, resumed: Resumed | None) -> None:
        """Write the experiment and the environment, also that of each resume; remove unusable checkpoints."""
        path = folder / "environment.json"
        splits = {"train": setup.data.train, "val": setup.data.val}
        now = environment() | {
            "data_fingerprint": dict(setup.description.fingerprint),
            "recordings": {split: recordings_of(dataset) for split, dataset in splits.items()},
        }
        if resumed and path.is_file():
            first = json.loads(path.read_text(encoding="utf-8"))
            now = first | {"resumed": [*first.get("resumed", []), {"step": resumed.checkpoint.step, **now}]}
        write_json(folder / "environment.json", now)
        write_experiment(folder, self.experiment)
        if self.source is not None:
            shutil.copyfile(self.source, folder / "experiment.py")
        for path in resumed.corrupt if resumed else ():
            path.replace(path.with_suffix(".corrupt"))
        for path in (folder / "checkpoints").glob(".*"):  # incomplete files of a process that was killed
            path.unlink()


def leads(experiment: Experiment) -> bool:
    """Return whether this is the first of all processes."""
    return build_trainer(experiment.trainer, [], loggers=[]).is_global_zero


def _complete_metrics(resumed: Resumed) -> None:
    if row := resumed.progress.epoch_row:
        MetricsFile(resumed.folder / "metrics.csv", resumed.checkpoint.step).complete(row)


def _requeue() -> None:
    """Requeue the SLURM job; when it starts again, it resumes this run."""
    job = slurm_job()
    assert job is not None
    try:
        subprocess.run(["scontrol", "requeue", job], check=True)  # noqa: S603, S607 (found on the path)
    except (OSError, subprocess.CalledProcessError) as error:
        log.error("cannot requeue job %s: %s", job, error)
