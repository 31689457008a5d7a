"""What the optimizer steps of all trainings have in common: clipped gradients, and which learning rates are logged."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler


def clip_gradient(optimizer: torch.optim.Optimizer, limit: float | None) -> Tensor:
    """Scale the gradient of all that an optimizer trains down to a norm of at most `limit`, and return what it was.

    None leaves the gradient as it is.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return torch.nn.utils.clip_grad_norm_(parameters, limit if limit is not None else float("inf"))


def learning_rates(scheduler: LRScheduler) -> dict[str, float]:
    """The learning rates of the step that comes next, by the names under which they are logged.

    `train/lr` is that of the first parameters, which `optim.lr` is for. Parts of a model that `ByPlace` gives a rate of
    their own follow as `train/lr/imu`, or `train/lr/imu/block_1` where it falls over the blocks of an encoder.
    """
    first, *others = scheduler.get_last_lr()
    rates = {"train/lr": float(first)}
    for group, rate in zip(scheduler.optimizer.param_groups[1:], others, strict=True):
        place, found, _ = group.get("name", "").rpartition(", ")
        if found:
            rates[f"train/lr/{place.replace(' block ', '/block_')}"] = float(rate)
    return rates
