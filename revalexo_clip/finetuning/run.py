"""`rxclip finetune`: from a pretrained encoder to an activity classifier, and how good it is on people that it has not seen."""

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
from revalexo_clip.runs.resume import LoadCheckpoint, find_resumed
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
    allow_seen_subjects: bool = False
    """Whether test subjects may be such that the encoder has seen."""

    def build(self, *, resumed: bool) -> FinetuneSetup:
        """See `Training.build`."""
        return build_finetune_setup(self.experiment, allow_seen_subjects=self.allow_seen_subjects, resumed=resumed)

    def announce(self, parts: FinetuneSetup, folder: Path) -> None:
        """See `Training.announce`."""
        experiment, described = self.experiment, parts.description
        log.info("train  %s", size_of(parts.train))
        log.info("val    %s", size_of(parts.val))
        if parts.test is not None:
            log.info("test   %s", size_of(parts.test))
        for modality, encoder in (("imu", described.imu), ("video", described.video)):
            if encoder is not None:
                new = experiment.encoder is None or experiment.from_scratch
                log.info(
                    "%-5s  %s (%s), %s",
                    modality,
                    type(encoder).__name__,
                    sized(parts.model.encoder("imu" if modality == "imu" else "video")),
                    "new" if new else f"from {experiment.encoder}",
                )
        log.info(
            "run    %s: %s of %s, batch %d, %s at %s",
            folder,
            counted(experiment.trainer.max_epochs, "epoch"),
            counted(parts.data.steps_per_epoch, "step"),
            experiment.batch_size,
            counted(len(described.activities), "activity").replace("activitys", "activities"),
            counted(len(described.horizons), "horizon"),
        )

    def callbacks(self) -> list[Callback]:
        """See `Training.callbacks`."""
        return [TrainingProgress(self.console, self.experiment.batch_size, ClassifierScores())]

    @property
    def of_video(self) -> bool:
        """See `Training.of_video`."""
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
    """An activity classifier that was trained, and how it did on its test subjects."""

    folder: Path
    """Its run folder."""
    recognition: ClassifierEvaluation | None
    """None where there are no test subjects, and in all processes but the first."""


def finetune(
    experiment: FinetuneExperiment,
    source: Path | None = None,
    console: Console | None = None,
    *,
    resume: Path | None = None,
    overrides: Sequence[str] = (),
    allow_seen_subjects: bool = False,
) -> Finetuned:
    """Train an activity classifier, and measure its best checkpoint on the test subjects.

    See `Training.run` for `resume` and what is raised. A run that was finished before is only measured again. Raises
    `ConfigError` for an experiment in folds, which is for `cross_validate`.
    """
    if experiment.folds is not None:
        raise ConfigError(
            "folds: this trains one activity classifier, and an experiment in folds is for cross_validate"
        )
    console = console or Console(stderr=True)
    run = Finetuning(experiment, source, console, allow_seen_subjects).run(resume=resume, overrides=overrides)
    if not run.leader or not experiment.data.subjects("test"):
        return Finetuned(run.folder, None)
    checkpoint = load_classifier_checkpoint(find_checkpoint(run.folder))
    return Finetuned(run.folder, measure_classifier(checkpoint, experiment, partial(counting, console=console)))


def dry_run_finetuning(
    experiment: FinetuneExperiment,
    *,
    resume: Path | None = None,
    overrides: Sequence[str] = (),
    allow_seen_subjects: bool = False,
) -> DryRun:
    """The same of a finetuning."""
    resumed = find_resumed(experiment, resume, load_classifier_checkpoint, overrides)
    parts = build_finetune_setup(experiment, allow_seen_subjects=allow_seen_subjects, resumed=resumed is not None)
    model = parts.model
    parameters = {f"{modality} encoder": count(model.encoder(modality)) for modality in experiment.modalities}
    parameters |= {"heads": count(model.heads), "loss": count(parts.module.loss)}
    splits = {"train": parts.train, "val": parts.val, **({"test": parts.test} if parts.test is not None else {})}
    return try_one_batch(experiment, parts, parameters, splits, resumed)
