"""What `rxclip finetune` does with folds, and the command of the processes that it starts. Imports as in `cli`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from revalexo_clip.cli.options import ClusterSort, SeenOption
from revalexo_clip.core.console import err, out, quiet_libraries, say
from revalexo_clip.core.errors import ConfigError

if TYPE_CHECKING:
    from revalexo_clip.config.finetuning import FinetuneExperiment
    from revalexo_clip.jobs import Cluster


@dataclass(frozen=True)
class FoldOptions:
    """The options that only an experiment in folds has."""

    folds: Sequence[str]
    jobs: int | None
    pretrain: str | None
    cluster: ClusterSort | None
    cluster_settings: Sequence[str]

    def overrides(self) -> list[str]:
        """What `--pretrain` sets: its whole experiment becomes part of the one that is run."""
        if self.pretrain is None:
            return []
        from revalexo_clip.config.loading import load_experiment

        pretraining = load_experiment(self.pretrain).to_json(indent=None)
        return ["encoder=none", "imu=none", "video=none", "standardize=false", f"folds.pretrain={pretraining}"]

    def refuse(self, *, several: bool) -> None:
        """Raise `ConfigError` where one of them is given; of `several` trainings, where it is one for folds alone."""
        for_all = {"--jobs": self.jobs, "--cluster": self.cluster, "--cluster-set": self.cluster_settings}
        given = {"--fold": self.folds, **({} if several else for_all)}
        for option, value in given.items():
            if value:
                raise ConfigError(f"{option}: this experiment has no folds; see `folds` in rxclip components")

    def where(self) -> Cluster | None:
        """The cluster. Raises `ConfigError` where a setting cannot be read."""
        if self.cluster is None:
            if self.cluster_settings:
                raise ConfigError("--cluster-set says what the jobs of --cluster ask for, and there is no --cluster")
            return None
        from revalexo_clip.jobs import Cluster

        return Cluster(self.cluster.value, dict(map(_setting, self.cluster_settings)))


def _setting(text: str) -> tuple[str, str | int | float]:
    name, equals, raw = text.partition("=")
    if not name or not equals:
        raise ConfigError(f"--cluster-set {text}: write it as NAME=VALUE, e.g. --cluster-set gpus_per_node=1")
    try:
        value = json.loads(raw)
    except json.JSONDecodeError:
        value = raw
    return name, value if isinstance(value, int | float) else raw


def finetune_in_folds(
    experiment: FinetuneExperiment,
    file: str,
    resume: Path | None,
    overrides: Sequence[str],
    options: FoldOptions,
    *,
    allow_seen_subjects: bool,
) -> None:
    """Ends with exit code 1 where a fold failed."""
    from revalexo_clip.finetuning.cross_validation import cross_validate
    from revalexo_clip.reports.terminal.folds import fold_report

    done = cross_validate(
        experiment,
        Path(file.partition(":")[0]),
        err,
        only=options.folds,
        jobs=options.jobs,
        cluster=options.where(),
        resume=resume,
        overrides=overrides,
        allow_seen_subjects=allow_seen_subjects,
    )
    for part in fold_report(done.summary):
        out.print(part)
    say(f"done   {done.folder}\n       {done.folder / 'summary.json'}")
    if not done.failures:
        return
    said = [part for text in overrides for part in ("--set", text)]
    said += ["--pretrain", options.pretrain] if options.pretrain else []
    said += ["--allow-seen-subjects"] if allow_seen_subjects else []
    for name, why in done.failures.items():
        again = shlex.join(["rxclip", "finetune", file, *said, "--resume", str(done.folder), "--fold", name])
        err.print(f"error: fold {name}: {why}\n       again: {again}", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(1)


def fold(  # noqa: PLR0917 (options, which typer passes by name)
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder of all folds.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The fold.")],
    files: Annotated[
        list[Path] | None, typer.Option("--experiment", help="A file that defines components. Repeatable.")
    ] = None,
    changed: Annotated[list[str] | None, typer.Option(help="A field that was set. Repeatable.")] = None,
    pretraining: Annotated[bool, typer.Option("--pretraining", help="Its pretraining.")] = False,
    allow_seen_subjects: SeenOption = False,
) -> None:
    """Do one fold's pretraining, or train and test its activity classifier: what `finetune` starts a process for."""
    quiet_libraries()
    from revalexo_clip.config.loading import import_experiment_file
    from revalexo_clip.finetuning.cross_validation import run_fold

    for file in files or []:
        import_experiment_file(file)
    run_fold(
        run,
        name,
        err,
        pretraining=pretraining,
        source=None if pretraining else next(iter(files or []), None),
        changed=changed or [],
        allow_seen_subjects=allow_seen_subjects,
    )
