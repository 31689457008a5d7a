"""The small experiment by plain gradient descent: two checkpoints in a row differ by the gradient between them.

Its encoders drop features in training.

Tests run this very file; nothing imports it.
"""

import torch
from pydantic import PositiveFloat
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from revalexo_clip import Dropout, ImuEncoder, ImuSpec, Optimizer, TrainerConfig, VideoEncoder, VideoSpec
from support.small_experiment import TCN, Small, Squares


class Descent(Optimizer):
    """Every parameter less its gradient."""

    lr: PositiveFloat = 1.0
    """Learning rate."""

    def build(self, model: nn.Module, steps: int) -> tuple[torch.optim.Optimizer, LRScheduler]:
        optimizer = torch.optim.SGD(model.parameters(), lr=self.lr)
        return optimizer, LambdaLR(optimizer, lambda step: 1.0)


class DroppingTCN(TCN):
    """Half of its features are dropped."""

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        return nn.Sequential(super().build(spec, embed_dim), Dropout(0.5))


class DroppingSquares(Squares):
    """A fifth of its features is dropped."""

    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        return nn.Sequential(super().build(spec, embed_dim), Dropout(0.2))


class SmallDescent(Small):
    imu: ImuEncoder = DroppingTCN()
    video: VideoEncoder = DroppingSquares()
    optim: Optimizer = Descent()
    batch_size: int = 40
    trainer: TrainerConfig = TrainerConfig(max_epochs=3, accelerator="cpu", log_every=1, gradient_clip=None)
