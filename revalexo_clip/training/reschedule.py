"""A resumed run whose optimizer has other settings than it had, or whose length is another one."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.training.agreement import fail


def reschedule(checkpoint: dict[str, Any], optimizer: torch.optim.Optimizer, scheduler: LRScheduler) -> None:
    """Give a checkpoint the settings of a new optimizer, and the place in its schedule that belongs to its step.

    What the optimizer has gathered for each parameter, such as Adam's running means, stays. Without this, restoring the
    checkpoint would bring the old settings back. Raises `ConfigError` where the parameters are grouped differently.
    """
    (saved,) = checkpoint["optimizer_states"]
    groups = optimizer.param_groups
    if [len(group["params"]) for group in groups] != [len(group["params"]) for group in saved["param_groups"]]:
        fail(ConfigError("optim: what it trains is grouped differently than before; start a new run without --resume"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no optimizer step comes before those of the schedule
        for _ in range(checkpoint["global_step"]):
            scheduler.step()
    saved["param_groups"] = [
        {**group, "params": before["params"]} for group, before in zip(groups, saved["param_groups"], strict=True)
    ]
    checkpoint["lr_schedulers"] = [scheduler.state_dict()]
