"""One part of a group of trainings: the commands that run it, and what those do."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.loading import experiment_files
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.platform import existing_signals
from revalexo_clip.evaluation.protocol import evaluate
from revalexo_clip.finetuning.run import finetune
from revalexo_clip.jobs import STARTED_BY, Task
from revalexo_clip.pretraining.run import pretrain
from revalexo_clip.runs.folder import use_run_folder
from revalexo_clip.runs.options import RunOptions
from revalexo_clip.runs.part_folder import PartFolder, read_experiment, write_experiment
from revalexo_clip.training.distributed import leave_with_parent


@dataclass(frozen=True)
class Part:
    """One training of a group."""

    name: str
    """Name of its run folder."""
    experiment: FinetuneExperiment | PretrainExperiment
    pretraining: PretrainExperiment | None = None
    """Pretraining that comes before a finetuning. Its encoder replaces that of `experiment`."""
    evaluated: bool = False
    """Whether a pretraining is evaluated on its test subjects when it is done."""


def task_of(part: Part, folder: PartFolder, source: Path | None, options: RunOptions) -> Task:
    """Write the experiments of a part to its run folder, and return the commands that train it."""
    own = None if source is None else source.resolve()
    files = sorted(experiment_files(), key=lambda file: file != own)  # the first one is kept with the run
    command = [sys.executable, "-m", "revalexo_clip", "part", str(folder.path)]
    command += [option for file in files for option in ("--experiment", str(file))]
    seen = ["--allow-seen-subjects"] if options.allow_seen_subjects else []
    changed = [text.partition("=")[0] for text in options.overrides]
    write_experiment(folder.path, part.experiment)
    if isinstance(part.experiment, PretrainExperiment):
        evaluated = ["--evaluated"] if part.evaluated else []
        only = (*command, "--pretraining", str(folder.path), *evaluated, *_changed(changed), *seen)
        return Task(part.name, (only,), folder.output)
    if part.pretraining is None:
        return Task(part.name, ((*command, *_changed(changed), *seen),), folder.output)
    write_experiment(folder.pretraining, part.pretraining)
    write_experiment(folder.path, part.experiment.model_copy(update={"encoder": folder.pretraining}))
    prefix = "folds.pretrain."
    inner = [path.removeprefix(prefix) for path in changed if path.startswith(prefix)]
    first = (*command, "--pretraining", str(folder.pretraining), *_changed(inner))
    then = (*command, *_changed([*changed, "encoder"]), *seen)  # the run may have been moved
    return Task(part.name, (first, then), folder.output)


def _changed(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        yield from ("--changed", path)


def run_part(
    path: Path,
    console: Console,
    source: Path | None,
    options: RunOptions,
    *,
    pretraining: Path | None = None,
    evaluated: bool = False,
) -> None:
    """Train and test the part with a run folder; resume it if it has begun.

    `pretraining` is the run folder of a pretraining, if that is to be done: the one before the part, or the part
    itself, which may be `evaluated` then. Raises what `finetune`, `pretrain` and `evaluate` raise, and `ConfigError` if
    another process is working on the part.
    """
    for number in existing_signals("SIGUSR2"):  # sent by submitit, for the process that started this one
        signal.signal(number, signal.SIG_IGN)
    if (parent := os.environ.pop(STARTED_BY, None)) is not None:
        leave_with_parent(int(parent))
    folder = PartFolder(path)
    with folder.alone():
        if pretraining is not None:
            use_run_folder(pretraining)
            own = source if pretraining == path else None
            pretrain(read_experiment(pretraining, PretrainExperiment), own, console, overrides=options.overrides)
            if evaluated:
                evaluate(pretraining, allow_seen_subjects=options.allow_seen_subjects)
            return
        use_run_folder(path)
        finetune(
            read_experiment(path, FinetuneExperiment),
            source,
            console,
            overrides=options.overrides,
            allow_seen_subjects=options.allow_seen_subjects,
        )
