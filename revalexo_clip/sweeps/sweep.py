"""Sweep an experiment: train it with every combination of some settings and several seeds, and compare the settings."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue
from rich.console import Console

from revalexo_clip.config.base import Experiment
from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import write_json
from revalexo_clip.core.text import counted
from revalexo_clip.finetuning.build import build_finetune_setup
from revalexo_clip.finetuning.part import Part
from revalexo_clip.finetuning.run_group import GroupResult, RunGroup, prepare_videos, run_group
from revalexo_clip.jobs import Cluster
from revalexo_clip.pretraining.build import build_setup
from revalexo_clip.reports.html.sweep import write_sweep_report
from revalexo_clip.runs.options import RunOptions, optional_path
from revalexo_clip.runs.part_folder import EXPERIMENT
from revalexo_clip.sweeps.grid import Setting, make_settings, read_grid
from revalexo_clip.sweeps.metric import TEST, metric_of, value_in
from revalexo_clip.sweeps.summary import Trial, difference, summarize_setting, summarize_tests

log = logging.getLogger("revalexo_clip")

SWEEP = "sweep.json"
"""File of the grid and the results, in the run folder."""


def sweep(
    experiment: Experiment,
    settings: Sequence[str] = (),
    source: Path | str | None = None,
    console: Console | None = None,
    *,
    seeds: int = 1,
    metric: str | None = None,
    jobs: int | None = None,
    cluster: Cluster | None = None,
    resume: Path | str | None = None,
    allow_seen_subjects: bool = False,
) -> GroupResult:
    """Pretrain or finetune an experiment with every combination of `settings` and each of `seeds` seeds.

    `settings` are `path=value` and `path=value,value` texts, see `read_grid`. The others are compared with the first
    combination by `metric`, by default the one that checkpoints are chosen by; names that begin with `test/` are
    results on test subjects, for which a pretraining is evaluated. Writes `sweep.json` and `report.html`.

    `source` is the experiment's file, which is kept with the run. Each trial runs in processes of its own, so
    components that the package does not have must come from a file read by `load_experiment_of`. `jobs` trials run at a
    time, by default one on this machine and all of them on a cluster. A trial that fails does not stop the others.

    `resume` is the folder of a run, or `"newest"`. Trials that are done stay as they are, unless the fields with a
    single value in `settings` change the experiment. Raises `ConfigError` or `DataError` before anything is written if
    the settings are not valid, or the grid or the seeds are not those of the run to resume; `Interrupted` if a signal
    stopped the run.
    """
    group = SweepGroup(experiment, settings, seeds, metric)
    options = RunOptions(optional_path(resume), group.grid.fixed, allow_seen_subjects)
    return run_group(group, optional_path(source), console, options, jobs=jobs, cluster=cluster)


class SweepGroup(RunGroup):
    """The trials of a sweep: settings times seeds. Raises `ConfigError` if they are not valid."""

    inside = "trials"

    def __init__(
        self, experiment: Experiment, settings: Sequence[str], seeds: int = 1, metric: str | None = None
    ) -> None:
        if seeds < 1:
            raise ConfigError(f"seeds: {seeds} is less than 1")
        self.grid = read_grid(experiment, settings)
        self.settings = make_settings(experiment, self.grid)
        if len(self.settings) * seeds < 2:
            raise ConfigError(
                "nothing to sweep: give a field several values, e.g. --set optim.lr=1e-3,3e-4, or pass --seeds N"
            )
        super().__init__(self.settings[0].experiment)
        first = self.experiment.seed
        self.seeds = range(first, first + seeds)
        self.metrics = [metric_of(setting.experiment, metric) for setting in self.settings]
        if len({one.name for one in self.metrics}) > 1:
            names = ", ".join(sorted({one.name for one in self.metrics}))
            raise ConfigError(f"--metric: checkpoints of the settings are chosen by {names}; name one of them")
        self.metric = self.metrics[0]

    @property
    def parts(self) -> list[Part]:
        """See `RunGroup.parts`."""
        return [
            Part(_name(setting, seed), _seeded(setting.experiment, seed), evaluated=bool(self.metric.path))
            for setting in self.settings
            for seed in self.seeds
        ]

    @property
    def title(self) -> str:
        """See `RunGroup.title`: `6 trials (2 settings, 3 seeds)`."""
        trials = counted(len(self.settings) * len(self.seeds), "trial")
        return f"{trials} ({counted(len(self.settings), 'setting')}, {counted(len(self.seeds), 'seed')})"

    def check(self, *, allow_seen_subjects: bool) -> None:
        """See `RunGroup.check`: build the first setting, whose mistakes in data and models are often those of all."""
        if isinstance(self.experiment, FinetuneExperiment):
            build_finetune_setup(self.experiment, allow_seen_subjects=allow_seen_subjects)
        elif isinstance(self.experiment, PretrainExperiment):
            build_setup(self.experiment)

    def prepare(self, console: Console) -> None:
        """See `RunGroup.prepare`: settings may read other data."""
        for setting in self.settings:
            prepare_videos(setting.experiment, setting.experiment, console)

    def begin(self, run: Path) -> None:
        """Write the grid, and log the settings."""
        for setting in self.settings:
            if setting.values:
                log.info("setting %d: %s", setting.number, setting.title)
        write_json(run / SWEEP, self._about() | self._results(run, {}))

    def check_resumed(self, run: Path) -> None:
        """See `RunGroup.check_resumed`."""
        path = run / SWEEP
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            grid, seeds = {name: tuple(values) for name, values in before["grid"].items()}, before["seeds"]
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: cannot be read: {error}") from error
        if grid != dict(self.grid.values):
            raise ConfigError(
                f"{run}: the grid of this sweep is {_written(grid)}, and that of the command is "
                f"{_written(self.grid.values)}; pass the same, or start a new sweep without --resume"
            )
        if seeds != [*self.seeds]:
            raise ConfigError(
                f"{run}: the seeds of this sweep are {', '.join(map(str, seeds))}, and those of the command are "
                f"{', '.join(map(str, self.seeds))}; pass the same, or start a new sweep without --resume"
            )

    def compared(self, run: Path) -> Mapping[Path, Experiment]:
        """See `RunGroup.compared`: a change of the file may concern some settings only."""
        begun = {self.folder(run, part.name).path: part.experiment for part in self.parts}
        return {run: self.experiment} | {path: one for path, one in begun.items() if (path / EXPERIMENT).is_file()}

    def is_done(self, run: Path, part: Part) -> bool:
        """See `RunGroup.is_done`: trained, and tested if it is to be tested."""
        folder = self.folder(run, part.name)
        tested = part.evaluated or (
            isinstance(part.experiment, FinetuneExperiment) and bool(part.experiment.data.subjects("test"))
        )
        return folder.finished and (folder.metrics.is_file() or not tested)

    def summarize(self, run: Path, failures: Mapping[str, str]) -> JsonObject:
        """Write `sweep.json` and `report.html` of all trials that are done, and return the content of the former."""
        summary = self._about() | self._results(run, failures)
        write_json(run / SWEEP, summary)
        write_sweep_report(run / "report.html", summary)
        return summary

    def _about(self) -> JsonObject:
        kind = "finetuning" if isinstance(self.experiment, FinetuneExperiment) else "pretraining"
        return {
            "experiment": self.experiment.name,
            "kind": kind,
            "metric": self.metric.name,
            "better": self.metric.better,
            "on_test_subjects": self.metric.name.startswith(TEST),
            "grid": {path: list(values) for path, values in self.grid.values.items()},
            "fixed": list(self.grid.fixed),
            "seeds": list(self.seeds),
            "baseline": 1,
        }

    def _results(self, run: Path, failures: Mapping[str, str]) -> JsonObject:
        parts = {part.name: part for part in self.parts}
        done = {name for name, part in parts.items() if name not in failures and self.is_done(run, part)}
        trials = {
            setting.number: {
                name: self._trial(run, setting, seed) for seed in self.seeds if (name := _name(setting, seed)) in done
            }
            for setting in self.settings
        }
        values = {
            number: {trial.seed: trial.value for trial in by.values() if trial.value is not None}
            for number, by in trials.items()
        }
        means = {number: sum(by.values()) / len(by) for number, by in values.items() if by}
        sign = self.metric.sign
        settings: list[JsonValue] = [
            {"number": one.number, "values": dict(one.values), **summarize_setting(trials[one.number])}
            for one in self.settings
        ]
        differences: JsonObject = {
            str(number): difference(by, values[1], sign) for number, by in values.items() if number != 1
        }
        return {
            "settings": settings,
            "differences": differences,
            "best": max(means, key=lambda number: sign * means[number]) if means else None,
            "test": summarize_tests({number: [*by.values()] for number, by in trials.items()}, 1),
            "unfinished": {name: failures.get(name) for name in parts if name not in done},
        }

    def _trial(self, run: Path, setting: Setting, seed: int) -> Trial:
        folder = self.folder(run, _name(setting, seed))
        predictions = folder.predictions if folder.predictions.is_file() else None
        return Trial(seed, value_in(folder.path, self.metrics[setting.number - 1]), predictions)


def _name(setting: Setting, seed: int) -> str:
    return f"{setting.number}-seed{seed}"


def _seeded(experiment: Experiment, seed: int) -> FinetuneExperiment | PretrainExperiment:
    made = experiment.model_copy(update={"seed": seed})
    assert isinstance(made, FinetuneExperiment | PretrainExperiment)
    return made


def _written(grid: Mapping[str, Sequence[str]]) -> str:
    return " ".join(f"{path}={','.join(values)}" for path, values in grid.items()) or "empty"
