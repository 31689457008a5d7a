"""The commands `show` and `components`. Heavy imports stay inside them."""

from __future__ import annotations

from revalexo_clip.cli.options import (
    ExperimentArgument,
    JsonOption,
    SetOption,
)
from revalexo_clip.core.console import out


def show(file: ExperimentArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Print an experiment with all its defaults."""
    from revalexo_clip.config.base import Experiment
    from revalexo_clip.config.loading import load_experiment_of
    from revalexo_clip.reports.terminal.tables import config_tree

    experiment = load_experiment_of(Experiment, file, overrides or [])
    if as_json:
        print(experiment.to_json())
    else:
        out.print(config_tree(experiment.name, experiment.model_dump(mode="json")))


def components() -> None:
    """Print every component with its fields and defaults."""
    from revalexo_clip.config.finetuning import COMPONENT_KINDS as FINETUNING_KINDS
    from revalexo_clip.config.pretraining import COMPONENT_KINDS as PRETRAINING_KINDS
    from revalexo_clip.reports.terminal.tables import component_list

    for part in component_list([*PRETRAINING_KINDS, *FINETUNING_KINDS]):
        out.print(part)
