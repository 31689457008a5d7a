"""`rxclip pretrain`: from an experiment to a run folder with checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch.callbacks import Callback
from rich.console import Console

from revalexo_clip.config.base import PretrainExperiment
from revalexo_clip.pretraining.build import Parts, build_parts, size_of, sized
from revalexo_clip.pretraining.collapse import NoticeCollapse
from revalexo_clip.reports.terminal.tables import counted
from revalexo_clip.runs.checkpoint import load_checkpoint
from revalexo_clip.runs.resume import LoadCheckpoint
from revalexo_clip.training.callbacks.progress import Retrieved, TrainingProgress
from revalexo_clip.training.run import Training
from revalexo_clip.training.trainer import LOSS, Monitored

log = logging.getLogger("revalexo_clip")


def pretrain(
    experiment: PretrainExperiment,
    source: Path | None = None,
    console: Console | None = None,
    *,
    resume: Path | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train, and return the run folder. See `Training.run` for `resume` and what is raised."""
    training = Pretraining(experiment, source, console or Console(stderr=True))
    return training.run(resume=resume, overrides=overrides).folder


@dataclass(frozen=True)
class Pretraining(Training[Parts]):
    """Contrastive pretraining of both encoders."""

    experiment: PretrainExperiment

    def build(self, *, resumed: bool) -> Parts:
        """See `Training.build`."""
        return build_parts(self.experiment, resumed=resumed)

    def announce(self, parts: Parts, folder: Path) -> None:
        """See `Training.announce`."""
        experiment = self.experiment
        log.info("train  %s", size_of(parts.train))
        log.info("val    %s", size_of(parts.val))
        log.info(
            "model  %s (%s) and %s (%s), D=%d",
            type(experiment.imu).__name__,
            sized(parts.model.imu),
            type(experiment.video).__name__,
            sized(parts.model.video),
            experiment.embed_dim,
        )
        log.info(
            "run    %s: %s of %s, batch %d",
            folder,
            counted(experiment.trainer.max_epochs, "epoch"),
            counted(parts.data.steps_per_epoch, "step"),
            experiment.batch_size,
        )

    def watchers(self) -> list[Callback]:
        """See `Training.watchers`."""
        return [NoticeCollapse(), TrainingProgress(self.console, self.experiment.batch_size, Retrieved())]

    @property
    def monitored(self) -> Monitored:
        """See `Training.monitored`."""
        return LOSS

    @property
    def load(self) -> LoadCheckpoint:
        """See `Training.load`."""
        return load_checkpoint
