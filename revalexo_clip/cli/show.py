"""Commands that print: show, components. Heavy imports stay inside them."""

from __future__ import annotations

from revalexo_clip.cli.options import (
    ExperimentArgument,
    JsonOption,
    SetOption,
)
from revalexo_clip.core.console import out


def show(file: ExperimentArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Print a resolved experiment."""
    from revalexo_clip.config.base import Experiment
    from revalexo_clip.config.loading import load_experiment_of
    from revalexo_clip.reports.terminal.tables import config_tree

    experiment = load_experiment_of(Experiment, file, overrides or [])
    if as_json:
        print(experiment.to_json())
    else:
        out.print(config_tree(experiment.name, experiment.model_dump(mode="json")))


def components() -> None:
    """Print every registered component with its fields and defaults."""
    from revalexo_clip.config.finetuning import COMPONENT_KINDS as OF_FINETUNING
    from revalexo_clip.config.pretraining import COMPONENT_KINDS as OF_PRETRAINING
    from revalexo_clip.reports.terminal import tables as report

    for part in report.component_list([*OF_PRETRAINING, *OF_FINETUNING]):
        out.print(part)
