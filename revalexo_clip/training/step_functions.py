"""Parts of a training step: random numbers, the gradient, running statistics, and learning rates to log."""

from __future__ import annotations

import random

import numpy as np
import torch
from lightning.pytorch.plugins.precision import Precision
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler


def clip_gradient(optimizer: torch.optim.Optimizer, limit: float | None) -> Tensor:
    """Scale the gradient of all parameters of an optimizer to a norm of at most `limit`, and return the norm before.

    If `limit` is None or 0, the gradient is not changed.
    """
    return torch.nn.utils.clip_grad_norm_(trained_parameters(optimizer), limit or float("inf"))


def trained_parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return the parameters of all groups of an optimizer."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def gradient_scale(precision: Precision, norm: Tensor) -> Tensor:
    """Return the present scale of fp16's gradient scaler, [], on the device of the norm; 0 without a scaler."""
    scaler = getattr(precision, "scaler", None)
    scale = None if scaler is None else scaler._get_scale_async()  # `get_scale` would wait for the device
    return torch.zeros_like(norm) if scale is None else scale.view(()).to(norm)


def names_of_statistics(module: nn.Module) -> list[str]:
    """Return the names of the saved floating-point buffers, such as batch norm's running statistics.

    Each process updates its own by its part of the batches. They are averaged in every step, so that all processes
    validate the model that the first one saves. DDP would copy them only before an automatic optimization's step.
    """
    saved = module.state_dict().keys()
    return [name for name, buffer in module.named_buffers() if name in saved and buffer.is_floating_point()]


def learning_rates(scheduler: LRScheduler) -> dict[str, Tensor]:
    """Return the learning rates of the next step, by the names under which they are logged.

    `train/lr` is the rate of the first parameter group, which `optim.lr` sets. Parts of a model for which `ByPlace`
    sets another rate follow as `train/lr/imu`, or as `train/lr/imu/block_1` if it falls over the blocks of an encoder.
    """
    first, *others = scheduler.get_last_lr()
    rates = {"train/lr": torch.tensor(first, dtype=torch.float64)}
    for group, rate in zip(scheduler.optimizer.param_groups[1:], others, strict=True):
        place, found, _ = group.get("name", "").rpartition(", ")
        if found:
            rates[f"train/lr/{place.replace(' block ', '/block_')}"] = torch.tensor(rate, dtype=torch.float64)
    return rates


def seed_step(seed: int, step: int, process: int) -> None:
    """Seed the random generators of all devices for one step of one process.

    No random state needs to be saved: a step draws the same numbers whatever was drawn before it.
    """
    own = int(np.random.SeedSequence([seed, step, process]).generate_state(1)[0])
    torch.manual_seed(own)
    random.seed(own)
    np.random.seed(own)  # noqa: NPY002 (for components that draw from the global generator)
