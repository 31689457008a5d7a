"""A pretraining of IMU alone that takes a second, and a trial that fails if asked. Tests run this very file.

`FAIL_AT=7:43` in the environment lets the training with a kernel of 7 samples and seed 43 fail.
"""

import os
from pathlib import Path

import torch
from pydantic import PositiveInt
from torch import nn

from revalexo_clip import (
    AdamW,
    ImuAugmentation,
    ImuEncoder,
    ImuRecordings,
    ImuSpec,
    Loss,
    Optimizer,
    PretrainExperiment,
    Recordings,
    Scale,
    SelfContrast,
    TrainerConfig,
    VideoEncoder,
)
from support.small_experiment import TCNNet


class SweptNet(ImuEncoder):
    """Convolutions along time, averaged."""

    kernel: PositiveInt = 9
    """Length of each convolution [samples]."""
    dilations: tuple[PositiveInt, ...] = (1, 2)
    """Dilation of each convolution [samples]."""

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        if os.environ.get("FAIL_AT") == f"{self.kernel}:{torch.initial_seed()}":
            raise RuntimeError("this trial fails on purpose")
        return TCNNet(len(spec.channels), embed_dim, self.kernel, self.dilations)


class Swept(PretrainExperiment):
    data: Recordings = ImuRecordings(
        root=Path("recordings.npz"),
        train_subjects=("1", "2"),
        val_subjects=("3", "4"),
        test_subjects=("5", "6"),
        workers=0,
    )
    imu: ImuEncoder = SweptNet()
    video: VideoEncoder | None = None
    embed_dim: int = 8
    imu_augment: tuple[ImuAugmentation, ...] = (Scale(),)
    loss: Loss = SelfContrast()
    optim: Optimizer = AdamW(lr=1e-3)
    batch_size: int = 8
    trainer: TrainerConfig = TrainerConfig(max_epochs=2, accelerator="cpu", log_every=1)
