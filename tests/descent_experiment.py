"""The small experiment by plain gradient descent: two checkpoints in a row differ by the gradient between them.

Tests run this very file; nothing imports it.
"""

import torch
from pydantic import PositiveFloat
from small_experiment import Small
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from revalexo_clip import Optimizer, TrainerConfig


class Descent(Optimizer):
    """Every parameter less its gradient."""

    lr: PositiveFloat = 1.0
    """Learning rate."""

    def build(self, model: nn.Module, steps: int) -> tuple[torch.optim.Optimizer, LRScheduler]:
        optimizer = torch.optim.SGD(model.parameters(), lr=self.lr)
        return optimizer, LambdaLR(optimizer, lambda step: 1.0)


class SmallDescent(Small):
    optim: Optimizer = Descent()
    batch_size: int = 40
    trainer: TrainerConfig = TrainerConfig(max_epochs=3, accelerator="cpu", gradient_clip=None)
