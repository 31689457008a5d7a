"""`rxclip pretrain`: from an experiment to a run folder with checkpoints."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from torch import nn

from revalexo_clip.checkpoint import AtomicCheckpointIO
from revalexo_clip.console import counting
from revalexo_clip.errors import Interrupted, UserError
from revalexo_clip.experiment import PretrainExperiment
from revalexo_clip.files import atomically
from revalexo_clip.parts import Parts, build_parts, count, size_of
from revalexo_clip.report import counted
from revalexo_clip.resume import Resumed, find_resumed
from revalexo_clip.run_folder import (
    end_log,
    environment,
    forget_run_folder,
    inherited_run_folder,
    kept_log,
    new_run_folder,
    note,
    slurm_job,
    start_log,
    use_run_folder,
)
from revalexo_clip.training.agreement import connected
from revalexo_clip.training.averages import EpochAverages
from revalexo_clip.training.checkpoints import KeepBest, KeepLast
from revalexo_clip.training.collapse import NoticeCollapse
from revalexo_clip.training.interruption import StopSignals
from revalexo_clip.training.memory import enough_memory
from revalexo_clip.training.metrics_file import MetricsFile
from revalexo_clip.training.peers import WatchPeers, leave_with_parent
from revalexo_clip.training.progress import TrainingProgress
from revalexo_clip.training.trainer import averaging, build_trainer, early_stopping
from revalexo_clip.training.waiting import MeasureWaiting

log = logging.getLogger("revalexo_clip")


def pretrain(
    experiment: PretrainExperiment,
    source: Path | None = None,
    console: Console | None = None,
    *,
    resume: Path | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train, and return the run folder. `source` is the experiment's file, kept with the run.

    `resume` is a run to go on with, `resume.NEWEST` for the newest one of this experiment; `overrides` are the texts
    that may change it, see `find_resumed`. Raises `ConfigError` or `DataError` before anything is written where the
    experiment cannot run, `Interrupted` where a signal stopped it.
    """
    console = console or Console(stderr=True)
    if inherited_run_folder():
        leave_with_parent()
    with kept_log() as said:
        resumed = find_resumed(experiment, resume, overrides)
        if resumed and resumed.finished(experiment):
            log.info(
                "%s is finished: %s; to train on, --set trainer.max_epochs=...",
                resumed.folder,
                counted(resumed.checkpoint.next_epoch, "epoch"),
            )
            return resumed.folder
        if experiment.data.unprepared():
            build_parts(experiment, resumed=resumed is not None)  # long work is not begun for what cannot run
            _prepare(experiment, console)
        parts = build_parts(experiment, resumed=resumed is not None)
        if resumed:
            resumed.refuse_other_data(parts.description)
    leader = _leads(experiment)
    folder = resumed.folder if resumed else new_run_folder(experiment.name, leader=leader)
    try:
        if leader:
            use_run_folder(folder)
            start_log(folder, said)
            _record(folder, parts, source, resumed)
            _announce(parts, folder, resumed)
        _fit(parts, folder, resumed, console)
    finally:
        end_log()
        forget_run_folder()
    return folder


def _fit(parts: Parts, folder: Path, resumed: Resumed | None, console: Console) -> None:
    experiment = parts.experiment
    step = resumed.checkpoint.step if resumed else 0
    signals = StopSignals()
    trainer = build_trainer(
        experiment.trainer,
        [
            *averaging(experiment.trainer),
            WatchPeers(),
            signals,
            EpochAverages(),
            KeepBest(folder / "checkpoints"),
            KeepLast(folder / "checkpoints", minutes=experiment.trainer.checkpoint_minutes, signals=signals),
            NoticeCollapse(),
            MeasureWaiting(),
            TrainingProgress(console, experiment.batch_size),
            *early_stopping(experiment.trainer),
        ],
        loggers=[
            MetricsFile(folder / "metrics.csv", step),
            TensorBoardLogger(folder, name="", version="", sub_dir="tensorboard", purge_step=step or None),
        ],
        checkpoint_io=AtomicCheckpointIO(),
        folder=folder,
    )
    try:
        with connected(), enough_memory(experiment, parts.train.video_spec.frames):
            trainer.fit(parts.module, datamodule=parts.data, ckpt_path=resumed.checkpoint.path if resumed else None)
    except UserError as error:
        note(f"{error.kind}: {error}")
        if isinstance(error, Interrupted) and error.exit_code == 128 + signal.SIGUSR1:
            _requeue()
        raise
    except SystemExit as ended:
        if isinstance(ended.__context__, KeyboardInterrupt):  # which Lightning turns into exit code 1
            raise KeyboardInterrupt from ended
        raise


def _prepare(experiment: PretrainExperiment, console: Console) -> None:
    with counting("packing", console) as on_progress:
        experiment.data.prepare(on_progress, leader=_leads(experiment))


def _leads(experiment: PretrainExperiment) -> bool:
    """Whether this is the first of all processes."""
    return build_trainer(experiment.trainer, [], loggers=[]).is_global_zero


def _record(folder: Path, parts: Parts, source: Path | None, resumed: Resumed | None) -> None:
    """Write down what the run is made of, and what it was resumed with each time; clear away what is of no use."""
    path = folder / "environment.json"
    now = environment() | {"data_fingerprint": dict(parts.description.fingerprint)}
    if resumed and path.is_file():
        begun = json.loads(path.read_text(encoding="utf-8"))
        now = begun | {"resumed": [*begun.get("resumed", []), {"step": resumed.checkpoint.step, **now}]}
    for name, text in (("environment", json.dumps(now, indent=2)), ("experiment", parts.experiment.to_json())):
        with atomically(folder / f"{name}.json") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    if source is not None:
        shutil.copyfile(source, folder / "experiment.py")
    for path in resumed.damaged if resumed else ():
        path.replace(path.with_suffix(".damaged"))
    for path in (folder / "checkpoints").glob(".*"):  # what a process that was killed left half written
        path.unlink()


def _announce(parts: Parts, folder: Path, resumed: Resumed | None) -> None:
    log.info("train  %s", size_of(parts.train))
    log.info("val    %s", size_of(parts.val))
    log.info(
        "model  %s (%s) and %s (%s), D=%d",
        type(parts.experiment.imu).__name__,
        _parameters(parts.model.imu),
        type(parts.experiment.video).__name__,
        _parameters(parts.model.video),
        parts.experiment.embed_dim,
    )
    log.info(
        "run    %s: %s of %s, batch %d",
        folder,
        counted(parts.experiment.trainer.max_epochs, "epoch"),
        counted(parts.steps_per_epoch, "step"),
        parts.experiment.batch_size,
    )
    if resumed:
        found = resumed.checkpoint
        log.info("from   %s: %s done, now epoch %d", found.path, counted(found.step, "step"), found.next_epoch + 1)


def _requeue() -> None:
    """Let SLURM run the job again; it then goes on with this run."""
    job = slurm_job()
    assert job is not None
    try:
        subprocess.run(["scontrol", "requeue", job], check=True)  # noqa: S603, S607 (wherever SLURM is installed)
    except (OSError, subprocess.CalledProcessError) as error:
        log.error("job %s cannot be requeued: %s", job, error)


def _parameters(module: nn.Module) -> str:
    everything, trained = sum(parameter.numel() for parameter in module.parameters()), count(module)
    frozen = "" if trained == everything else f", {trained / 1e6:.1f} M of them trained"
    return f"{everything / 1e6:.1f} M parameters{frozen}"
