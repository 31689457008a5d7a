"""The two published encoders on the demo's data, as small as they come, for processes that are killed.

Tests run this very file; nothing imports it.
"""

from pathlib import Path

from revalexo_clip import (
    X3D,
    AdamW,
    ColorJitter,
    Dataset,
    DeepConvLSTM,
    GaussianNoise,
    ImuAugmentation,
    ImuEncoder,
    Optimizer,
    PretrainExperiment,
    RevalExo,
    TrainerConfig,
    VideoAugmentation,
    VideoEncoder,
)


class Killed(PretrainExperiment):
    data: Dataset = RevalExo(
        root=Path("dataset"),
        train_subjects=("01",),
        val_subjects=("02",),
        eval_stride=5.0,
        crop=32,
        short_side=32,
        workers=1,
    )
    imu: ImuEncoder = DeepConvLSTM(maps=8, hidden=16)
    video: VideoEncoder = X3D(size="xs", weights=None)
    imu_augment: tuple[ImuAugmentation, ...] = (GaussianNoise(),)
    video_augment: tuple[VideoAugmentation, ...] = (ColorJitter(),)
    embed_dim: int = 16
    optim: Optimizer = AdamW(lr=1e-3)
    batch_size: int = 4
    trainer: TrainerConfig = TrainerConfig(max_epochs=8, accelerator="cpu", log_every=1, checkpoint_minutes=0)
