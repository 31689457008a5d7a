"""DeepConvLSTM <-> X3D-XS on RevalExo, as published: four frames of 182 px, 64 pairs.

    rxclip pretrain experiments/x3d_xs.py

Four frames over 2 s sample the video at 2 Hz, which is too slow to show steps at 2 Hz. To retrieve exact moments and
not only similar ones, use more frames: --set data.frames=16.

The published split leaves no test subjects with video: hold subjects out, or evaluate with --allow-seen-subjects.
"""

from pathlib import Path

from revalexo_clip import (
    X3D,
    AdamW,
    ChannelDropout,
    ColorJitter,
    Dataset,
    DeepConvLSTM,
    GaussianNoise,
    Grayscale,
    HorizontalFlip,
    ImuAugmentation,
    ImuEncoder,
    InfoNCE,
    Loss,
    MagnitudeWarp,
    Optimizer,
    PretrainExperiment,
    RandomErasing,
    RandomResizedCrop,
    RevalExo,
    Scale,
    TimeWarp,
    TrainerConfig,
    VideoAugmentation,
    VideoEncoder,
)


class X3DXS(PretrainExperiment):
    name: str = "x3d_xs"
    seed: int = 42
    data: Dataset = RevalExo(
        root=Path("data/RevalExoDataset"),
        train_subjects=("29", "02", "24", "26", "05", "07", "17", "06", "11", "03", "20", "01"),
        val_subjects=("08",),
        frames=4,
        crop=182,
        short_side=182,
        workers=8,
    )
    imu: ImuEncoder = DeepConvLSTM(kernel=11, maps=64, hidden=1024)
    video: VideoEncoder = X3D(size="xs", weights="kinetics400")
    embed_dim: int = 256
    imu_augment: tuple[ImuAugmentation, ...] = (
        Scale(range=(0.8, 1.2), p=0.5),
        MagnitudeWarp(sigma=0.2, knots=4, p=0.3),
        TimeWarp(sigma=0.2, knots=4, p=0.3),
        ChannelDropout(rate=0.1, p=0.2),
        GaussianNoise(std=0.02, p=0.5),
    )
    video_augment: tuple[VideoAugmentation, ...] = (
        ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
        Grayscale(p=0.2),
        RandomResizedCrop(scale=(0.6, 1.0), ratio=(3 / 4, 4 / 3)),
        HorizontalFlip(p=0.5),
        RandomErasing(scale=(0.02, 0.33), ratio=(0.3, 3.3), p=0.3),
    )
    loss: Loss = InfoNCE(temperature=0.1)
    optim: Optimizer = AdamW(lr=5e-5, weight_decay=2.5e-4, final_lr=1e-6)
    batch_size: int = 64
    trainer: TrainerConfig = TrainerConfig(max_epochs=50)
