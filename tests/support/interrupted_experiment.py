"""The small experiment with dropout, and with signals that come at a step that is known beforehand.

Tests run this very file; only `frozen_experiment` imports it. `SIGNAL_AT=7:15` in the environment sends the process
signal 15 in its 7th step, counted from where it was started or resumed; `SIGNAL_AT=7:15:1` sends it to the second
process of a run alone; `SIGNAL_WHEN_LOADED=15` sends it as soon as a training window is loaded, so before any step.
"""

import os

import numpy as np
from torch import Tensor, nn

from revalexo_clip import ImuAugmentation, ImuEncoder, ImuSpec, PerWindowImu, TrainerConfig
from revalexo_clip.augment.base import Draw
from support.small_experiment import TCN, Small


class Interrupted(TCN):
    """The small encoder of IMU windows, in which a signal comes."""

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        return nn.Sequential(super().build(spec, embed_dim), nn.Dropout(0.5), SignalAtStep())


class SignalAtStep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        at, number, *process = os.environ.get("SIGNAL_AT", "0:0").split(":")
        meant = not process or os.environ.get("LOCAL_RANK", "0") == process[0]
        self.at, self.number = int(at) if meant else 0, int(number)

    def forward(self, imu_BD: Tensor) -> Tensor:
        self.steps += self.training
        if self.training and self.steps == self.at:
            os.kill(os.getpid(), self.number)
        return imu_BD


class SignalWhenLoaded(PerWindowImu):
    """Changes nothing."""

    def __call__(self, imu_LC: Draw, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        if number := int(os.environ.get("SIGNAL_WHEN_LOADED", "0")):
            os.kill(os.getpid(), number)
        return imu_LC


class SmallInterrupted(Small):
    imu: ImuEncoder = Interrupted()
    imu_augment: tuple[ImuAugmentation, ...] = (SignalWhenLoaded(),)
    trainer: TrainerConfig = TrainerConfig(max_epochs=3, accelerator="cpu", log_every=1, checkpoint_minutes=None)
