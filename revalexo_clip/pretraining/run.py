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
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.data import LabelledWindows
from revalexo_clip.pretraining.build import TrainingSetup, build_setup
from revalexo_clip.pretraining.collapse import CollapseWarning
from revalexo_clip.pretraining.feature_cache import FeatureCaching
from revalexo_clip.pretraining.imu_alone import SELECTION, describe_selection
from revalexo_clip.pretraining.memorising import MemorisingWarning
from revalexo_clip.runs.checkpoint import load_checkpoint
from revalexo_clip.runs.options import RunOptions, optional_path
from revalexo_clip.runs.resume import LoadCheckpoint, find_resumed
from revalexo_clip.training.callbacks.early_stopping import LAST, LOSS, MRR, Monitored
from revalexo_clip.training.callbacks.progress import NeighbourScores, RetrievalScores, TrainingProgress
from revalexo_clip.training.dry_run import DryRun, try_one_batch
from revalexo_clip.training.run import Training
from revalexo_clip.training.summary import count, size_of, sized

log = logging.getLogger("revalexo_clip")


def pretrain(
    experiment: PretrainExperiment,
    source: Path | str | None = None,
    console: Console | None = None,
    *,
    resume: Path | str | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Pretrain both encoders, or that of IMU alone, and return the run folder.

    `source` is the experiment's file, which is kept with the run. `resume` is the folder of a run, or `"newest"`.
    `overrides` are the `path=value` texts that were applied to the experiment, see `find_resumed`. Raises `ConfigError`
    or `DataError` before anything is written if the experiment cannot run, `Interrupted` if a signal stopped the run.
    """
    options = RunOptions(optional_path(resume), overrides)
    training = Pretraining(experiment, optional_path(source), console or Console(stderr=True), options)
    return training.run().folder


@dataclass(frozen=True)
class Pretraining(Training[TrainingSetup]):
    """Contrastive pretraining of both encoders, or of that of IMU alone."""

    experiment: PretrainExperiment

    def build(self, *, resumed: bool) -> TrainingSetup:
        """See `Training.build`."""
        return build_setup(self.experiment, resumed=resumed)

    def announce(self, setup: TrainingSetup, folder: Path) -> None:
        """See `Training.announce`."""
        experiment = self.experiment
        log.info("train  %s", size_of(setup.train))
        log.info("val    %s", size_of(setup.val))
        towers = ((experiment.imu, setup.model.imu), (experiment.video, setup.model.video))
        described = [f"{type(one).__name__} ({sized(module)})" for one, module in towers if module is not None]
        log.info("model  %s, D=%d", " and ".join(described), experiment.embed_dim)
        if setup.module.text is not None:
            log.info("text   %s", setup.module.text.described)
        if experiment.video is None and experiment.text is None:
            log.info("best   chosen by %s", describe_selection(_labelled_subjects(setup.val)))
        log.info(
            "run    %s: %s of %s, batch %d",
            folder,
            counted(experiment.trainer.max_epochs, "epoch"),
            counted(setup.data.steps_per_epoch, "step"),
            experiment.batch_size,
        )

    def callbacks(self) -> list[Callback]:
        """See `Training.callbacks`."""
        shown = NeighbourScores() if self.experiment.video is None else RetrievalScores()
        progress = TrainingProgress(self.console, self.experiment.batch_size, shown)
        caching = [] if self.experiment.feature_cache is None else [FeatureCaching(self.console)]
        return [*caching, CollapseWarning(), MemorisingWarning(), progress]

    @property
    def monitored(self) -> Monitored:
        """See `Training.monitored`."""
        if self.experiment.video is None and self.experiment.text is None:
            return SELECTION
        return {"loss": LOSS, "mrr": MRR, "last": LAST}[self.experiment.best]

    @property
    def reads_video(self) -> bool:
        """See `Training.reads_video`."""
        return self.experiment.video is not None

    @property
    def load(self) -> LoadCheckpoint:
        """See `Training.load`."""
        return load_checkpoint


def dry_run_pretraining(experiment: PretrainExperiment, options: RunOptions) -> DryRun:
    """Build everything of a pretraining, train on one batch, validate on one, and write nothing.

    Raises what `pretrain` raises before it writes anything. The batch is the first one and the weights are new, also if
    a run would be resumed.
    """
    resumed = find_resumed(experiment, options, load_checkpoint)
    experiment = resumed.with_kept_files(experiment) if resumed else experiment
    setup = build_setup(experiment, resumed=resumed is not None)
    model = setup.model
    towers = {model.imu, model.video}
    heads = [module for module in model.children() if module not in towers and count(module)]
    parameters = {
        "imu encoder": count(model.imu),
        **({} if model.video is None else {"video encoder": count(model.video)}),
        **({"projection heads" if len(heads) > 1 else "projection head": sum(map(count, heads))} if heads else {}),
        **({} if setup.module.text is None else {"text encoder": count(setup.module.text)}),
        "loss": count(setup.module.loss),
    }
    return try_one_batch(experiment, setup, parameters, {"train": setup.train, "val": setup.val}, resumed)


def _labelled_subjects(windows: LabelledWindows) -> list[str]:
    """Return the subjects that have a label at the first horizon."""
    clip_M = windows.windows.clip_N[windows.labels(0)[:, 0] != UNLABELLED]
    return sorted({windows.clip_subjects[clip] for clip in clip_M.tolist()})
