"""Restoring a checkpoint into a training whose experiment was changed: what fits, and what has to be adapted."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.training.distributed import fail_on_all_ranks

_NEW_RUN = "start a new run without --resume"


def refuse_other_weights(checkpoint: dict[str, Any], module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Raise `ConfigError` if a checkpoint's weights or optimizer do not fit the module.

    That is so if another encoder, loss or size was chosen, or if other blocks are frozen than before. Sizes of buffers
    of integers are not compared: a queue of earlier batches is allocated when it is loaded.
    """
    before, now = (
        {name: value.shape if value.is_floating_point() else None for name, value in state.items()}
        for state in (checkpoint["state_dict"], module.state_dict())
    )
    other = [
        name
        for name in dict.fromkeys([*before, *now])
        if name not in before or name not in now or before[name] != now[name]
    ]
    if other:
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        fail_on_all_ranks(
            ConfigError(
                "the changed experiment has other weights than the run that is resumed: "
                f"{', '.join(other[:3])}{more}; {_NEW_RUN}"
            )
        )
    (saved,) = checkpoint["optimizer_states"]
    sizes = [[len(group["params"]) for group in groups] for groups in (saved["param_groups"], optimizer.param_groups)]
    if sizes[0] != sizes[1]:
        fail_on_all_ranks(ConfigError(f"optim: parameters are grouped differently than before; {_NEW_RUN}"))


def reschedule(checkpoint: dict[str, Any], optimizer: torch.optim.Optimizer, scheduler: LRScheduler) -> None:
    """Give a checkpoint the settings of a new optimizer, and the position in its schedule that belongs to its step.

    The optimizer's statistics of each parameter, such as Adam's running means, stay. Without this, restoring the
    checkpoint would restore the old settings too.
    """
    (saved,) = checkpoint["optimizer_states"]
    groups = optimizer.param_groups
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the scheduler expects an optimizer step before each of its own
        for _ in range(checkpoint["global_step"]):
            scheduler.step()
    saved["param_groups"] = [
        {**group, "params": before["params"]} for group, before in zip(groups, saved["param_groups"], strict=True)
    ]
    checkpoint["lr_schedulers"] = [scheduler.state_dict()]
