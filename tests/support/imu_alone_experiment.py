"""Pretraining of IMU alone on tiny recordings, with dropout and with signals at a step known beforehand.

Tests run this very file; nothing imports it. See `interrupted_experiment` for the signals.
"""

from pathlib import Path

from revalexo_clip import (
    AdamW,
    GaussianNoise,
    ImuAugmentation,
    ImuEncoder,
    ImuRecordings,
    Loss,
    Optimizer,
    PretrainExperiment,
    Recordings,
    Scale,
    SelfContrast,
    TrainerConfig,
    VideoEncoder,
)
from support.interrupted_experiment import Interrupted


class ImuAlone(PretrainExperiment):
    data: Recordings = ImuRecordings(
        root=Path("recordings.npz"),
        train_subjects=("1", "2"),
        val_subjects=("3", "4"),
        test_subjects=("5", "6"),
        workers=0,
    )
    imu: ImuEncoder = Interrupted()
    video: VideoEncoder | None = None
    embed_dim: int = 8
    imu_augment: tuple[ImuAugmentation, ...] = (Scale(), GaussianNoise(std=0.1))
    loss: Loss = SelfContrast()
    optim: Optimizer = AdamW(lr=1e-3)
    batch_size: int = 8
    trainer: TrainerConfig = TrainerConfig(max_epochs=3, accelerator="cpu", checkpoint_minutes=None)
