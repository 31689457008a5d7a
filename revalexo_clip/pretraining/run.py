"""Pretraining: from an experiment to a run folder with checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch.callbacks import Callback
from rich.console import Console

from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.text import counted
from revalexo_clip.pretraining.build import TrainingSetup, build_setup
from revalexo_clip.pretraining.collapse import CollapseWarning
from revalexo_clip.runs.checkpoint import load_checkpoint
from revalexo_clip.runs.resume import LoadCheckpoint, find_resumed
from revalexo_clip.training.callbacks.early_stopping import LOSS, Monitored
from revalexo_clip.training.callbacks.progress import RetrievalScores, TrainingProgress
from revalexo_clip.training.dry_run import DryRun, try_one_batch
from revalexo_clip.training.run import Training
from revalexo_clip.training.summary import count, size_of, sized

log = logging.getLogger("revalexo_clip")


def pretrain(
    experiment: PretrainExperiment,
    source: Path | None = None,
    console: Console | None = None,
    *,
    resume: Path | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train, and return the run folder. See `Training.run` for the arguments and errors."""
    training = Pretraining(experiment, source, console or Console(stderr=True))
    return training.run(resume=resume, overrides=overrides).folder


@dataclass(frozen=True)
class Pretraining(Training[TrainingSetup]):
    """Contrastive pretraining of both encoders."""

    experiment: PretrainExperiment

    def build(self, *, resumed: bool) -> TrainingSetup:
        """See `Training.build`."""
        return build_setup(self.experiment, resumed=resumed)

    def announce(self, setup: TrainingSetup, folder: Path) -> None:
        """See `Training.announce`."""
        experiment = self.experiment
        log.info("train  %s", size_of(setup.train))
        log.info("val    %s", size_of(setup.val))
        log.info(
            "model  %s (%s) and %s (%s), D=%d",
            type(experiment.imu).__name__,
            sized(setup.model.imu),
            type(experiment.video).__name__,
            sized(setup.model.video),
            experiment.embed_dim,
        )
        log.info(
            "run    %s: %s of %s, batch %d",
            folder,
            counted(experiment.trainer.max_epochs, "epoch"),
            counted(setup.data.steps_per_epoch, "step"),
            experiment.batch_size,
        )

    def callbacks(self) -> list[Callback]:
        """See `Training.callbacks`."""
        return [CollapseWarning(), TrainingProgress(self.console, self.experiment.batch_size, RetrievalScores())]

    @property
    def monitored(self) -> Monitored:
        """See `Training.monitored`."""
        return LOSS

    @property
    def load(self) -> LoadCheckpoint:
        """See `Training.load`."""
        return load_checkpoint


def dry_run(experiment: PretrainExperiment, *, resume: Path | None = None, overrides: Sequence[str] = ()) -> DryRun:
    """Build a pretraining, train on one batch, validate on one, and write nothing.

    `resume` and `overrides` are those of `Training.run`: a run that cannot be resumed raises the same errors. The
    batch is still the first one, and the weights are new.
    """
    resumed = find_resumed(experiment, resume, load_checkpoint, overrides)
    setup = build_setup(experiment, resumed=resumed is not None)
    model = setup.model
    parameters = {
        "imu encoder": count(model.imu),
        "video encoder": count(model.video),
        "projection heads": count(model.imu_head) + count(model.video_head),
        "loss": count(setup.module.loss),
    }
    return try_one_batch(experiment, setup, parameters, {"train": setup.train, "val": setup.val}, resumed)
