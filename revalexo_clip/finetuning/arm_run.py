"""One arm, in the run folder of a comparison: where its files lie, and the process that trains and tests it."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from revalexo_clip.finetuning.run import finetune
from revalexo_clip.finetuning.run_group import PartFolder, read_experiment
from revalexo_clip.finetuning.variants import Arm
from revalexo_clip.runs.folder import use_run_folder

ARMS_FOLDER = "arms"
"""Where in the run folder of a comparison those of its arms lie."""


class ArmFolder(PartFolder):
    """The run folder of an arm."""

    @classmethod
    def of(cls, run: Path, arm: Arm) -> ArmFolder:
        """Where it is in the run folder of the comparison."""
        return cls(run / ARMS_FOLDER / arm.name)

    @property
    def metrics(self) -> Path:
        """What its test has measured."""
        return self.predictions.with_name("metrics.json")


def run_arm(
    run: Path,
    arm: Arm,
    console: Console,
    *,
    source: Path | None = None,
    changed: Sequence[str] = (),
    allow_seen_subjects: bool = False,
) -> None:
    """Train and test the recogniser of an arm, or go on with it.

    `run` is the run folder of the comparison, whose experiment is taken; `changed` are the dotted paths in which it may
    differ from what the arm was begun with. Raises what `finetune` raises, and `ConfigError` where another process is
    at work on the arm.
    """
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # submitit's: it tells the process that started this one
    experiment = arm.of(read_experiment(run))
    folder = ArmFolder.of(run, arm)
    with folder.alone():
        use_run_folder(folder.path)
        finetune(experiment, source, console, overrides=changed, allow_seen_subjects=allow_seen_subjects)
