"""Pretraining of IMU alone on tiny recordings, with dropout and with signals at a step known beforehand.

Tests run this very file; nothing imports it. See `interrupted_experiment` for the signals.
"""

from pathlib import Path

from torch import nn

from revalexo_clip import (
    AdamW,
    GaussianNoise,
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
from support.interrupted_experiment import SignalAtStep
from support.small_experiment import TCNNet


class Signalled(ImuEncoder):
    """Convolutions and dropout, with a signal at a step."""

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        return nn.Sequential(TCNNet(len(spec.channels), embed_dim, 9, (1, 2)), nn.Dropout(0.5), SignalAtStep())


class ImuAlone(PretrainExperiment):
    data: Recordings = ImuRecordings(
        root=Path("recordings.npz"),
        train_subjects=("1", "2"),
        val_subjects=("3", "4"),
        test_subjects=("5", "6"),
        workers=0,
    )
    imu: ImuEncoder = Signalled()
    video: VideoEncoder | None = None
    embed_dim: int = 8
    imu_augment: tuple[ImuAugmentation, ...] = (Scale(), GaussianNoise(std=0.1))
    loss: Loss = SelfContrast()
    optim: Optimizer = AdamW(lr=1e-3)
    batch_size: int = 8
    trainer: TrainerConfig = TrainerConfig(max_epochs=3, accelerator="cpu", log_every=1, checkpoint_minutes=None)
