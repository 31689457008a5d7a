"""The command `pretrain`. Heavy imports stay inside it."""

from __future__ import annotations

from revalexo_clip.cli.finetuning import print_dry_run
from revalexo_clip.cli.options import (
    DevicesOption,
    DryRunOption,
    ExperimentArgument,
    ResumeOption,
    SetOption,
)
from revalexo_clip.core.console import err, is_main_process, quiet_libraries


def pretrain(
    file: ExperimentArgument,
    overrides: SetOption = None,
    resume: ResumeOption = None,
    devices: DevicesOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Pretrain an IMU and a video encoder contrastively, or an IMU encoder alone."""
    quiet_libraries()
    from revalexo_clip.config.loading import load_experiment, split_target
    from revalexo_clip.pretraining import run as command
    from revalexo_clip.runs.options import RunOptions

    overrides = [*(overrides or []), *([] if devices is None else [f"trainer.devices={devices}"])]
    experiment = load_experiment(file, overrides)
    if dry_run:
        print_dry_run(experiment.name, command.dry_run_pretraining(experiment, RunOptions(resume, overrides)))
        return
    run = command.pretrain(experiment, split_target(file)[0], err, resume=resume, overrides=overrides)
    if is_main_process():
        text = f"done   {run}\n       rxclip evaluate --ckpt {run}{_experiment_option(file)}"
        err.print(text, highlight=False, markup=False, soft_wrap=True)


def _experiment_option(file: str) -> str:
    """Return the option that later commands need if the experiment file defines its own components."""
    import shlex

    from revalexo_clip.config.loading import split_target
    from revalexo_clip.core.component import Component

    has_own = any(not kind.__module__.startswith("revalexo_clip.") for kind in Component.registry.values())
    return f" --experiment {shlex.quote(str(split_target(file)[0]))}" if has_own else ""
