"""Finetuning: train an activity classifier and evaluate it on unseen subjects, as `rxclip finetune` does."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lightning.pytorch.callbacks import Callback
from rich.console import Console

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.core.console import counting
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.text import counted
from revalexo_clip.evaluation.classifier import ClassifierEvaluation, measure_classifier
from revalexo_clip.finetuning.build import FinetuneSetup, build_finetune_setup, reads_video
from revalexo_clip.finetuning.module import MONITORED
from revalexo_clip.runs.classifier_checkpoint import load_classifier_checkpoint
from revalexo_clip.runs.folder import find_checkpoint
from revalexo_clip.runs.options import RunOptions, optional_path
from revalexo_clip.runs.resume import LoadCheckpoint, find_resumed
from revalexo_clip.runs.state import recording_state
from revalexo_clip.training.callbacks.early_stopping import Monitored
from revalexo_clip.training.callbacks.progress import ClassifierScores, TrainingProgress
from revalexo_clip.training.dry_run import DryRun, try_one_batch
from revalexo_clip.training.run import Training
from revalexo_clip.training.summary import count, size_of, sized

log = logging.getLogger("revalexo_clip")


@dataclass(frozen=True)
class Finetuning(Training[FinetuneSetup]):
    """The training of an activity classifier."""

    experiment: FinetuneExperiment

    def build(self, *, resumed: bool) -> FinetuneSetup:
        """See `Training.build`."""
        allow_seen_subjects = self.options.allow_seen_subjects
        return build_finetune_setup(self.experiment, allow_seen_subjects=allow_seen_subjects, resumed=resumed)

    def announce(self, setup: FinetuneSetup, folder: Path) -> None:
        """See `Training.announce`."""
        experiment, described = self.experiment, setup.description
        log.info("train  %s", size_of(setup.train))
        log.info("val    %s", size_of(setup.val))
        if setup.test is not None:
            log.info("test   %s", size_of(setup.test))
        for modality, encoder in (("imu", described.imu), ("video", described.video)):
            if encoder is not None:
                new = experiment.encoder is None or experiment.from_scratch
                log.info(
                    "%-5s  %s (%s), %s",
                    modality,
                    type(encoder).__name__,
                    sized(setup.model.encoder("imu" if modality == "imu" else "video")),
                    "new" if new else f"from {experiment.encoder}",
                )
        log.info(
            "run    %s: %s of %s, batch %d, %s at %s",
            folder,
            counted(experiment.trainer.max_epochs, "epoch"),
            counted(setup.data.steps_per_epoch, "step"),
            experiment.batch_size,
            counted(len(described.activities), "activity", "activities"),
            counted(len(described.horizons), "horizon"),
        )

    def callbacks(self) -> list[Callback]:
        """See `Training.callbacks`."""
        return [TrainingProgress(self.console, self.experiment.batch_size, ClassifierScores())]

    @property
    def reads_video(self) -> bool:
        """See `Training.reads_video`."""
        return reads_video(self.experiment)

    @property
    def monitored(self) -> Monitored:
        """See `Training.monitored`."""
        return Monitored(MONITORED, "max", least=0.001)

    @property
    def load(self) -> LoadCheckpoint:
        """See `Training.load`."""
        return load_classifier_checkpoint


@dataclass(frozen=True)
class Finetuned:
    """An activity classifier that was trained, and its results."""

    folder: Path
    """Run folder."""
    evaluation: ClassifierEvaluation | None
    """Results on the test subjects; None if there are no test subjects, and in all processes but the first."""


def finetune(
    experiment: FinetuneExperiment,
    source: Path | str | None = None,
    console: Console | None = None,
    *,
    resume: Path | str | None = None,
    overrides: Sequence[str] = (),
    allow_seen_subjects: bool = False,
) -> Finetuned:
    """Train an activity classifier, evaluate its best checkpoint on the test subjects, and write the report.

    `source` is the experiment's file, which is kept with the run. `resume` is the folder of a run, or `"newest"`; a run
    that is finished is only evaluated again. `overrides` are the `path=value` texts that were applied to the
    experiment, see `find_resumed`. Raises `ConfigError` or `DataError` before anything is written if the experiment
    cannot be trained or has folds (see `cross_validate`), `Interrupted` if a signal stopped the run.
    """
    if experiment.folds is not None:
        raise ConfigError("folds: finetune trains one activity classifier; use cross_validate, or set folds to none")
    console = console or Console(stderr=True)
    options = RunOptions(optional_path(resume), overrides, allow_seen_subjects)
    run = Finetuning(experiment, optional_path(source), console, options).run()
    if not run.leader or not experiment.data.subjects("test"):
        return Finetuned(run.folder, None)
    with recording_state(run.folder):
        checkpoint = load_classifier_checkpoint(find_checkpoint(run.folder))
        return Finetuned(run.folder, measure_classifier(checkpoint, experiment, partial(counting, console=console)))


def dry_run_finetuning(experiment: FinetuneExperiment, options: RunOptions) -> DryRun:
    """Build everything of a finetuning, train on one batch, validate on one, and write nothing.

    Raises what `finetune` raises before it writes anything. The batch is the first one and the weights are those at the
    start, also if a run would be resumed.
    """
    resumed = find_resumed(experiment, options, load_classifier_checkpoint)
    experiment = resumed.with_kept_files(experiment) if resumed else experiment
    setup = build_finetune_setup(
        experiment, allow_seen_subjects=options.allow_seen_subjects, resumed=resumed is not None
    )
    model = setup.model
    parameters = {f"{modality} encoder": count(model.encoder(modality)) for modality in experiment.modalities}
    parameters |= {"heads": count(model.heads), "loss": count(setup.module.loss)}
    splits = {"train": setup.train, "val": setup.val, **({"test": setup.test} if setup.test is not None else {})}
    return try_one_batch(experiment, setup, parameters, splits, resumed)
