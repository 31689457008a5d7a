"""DeepConvLSTM <-> MViT-B 16x4 on RevalExo, as published: sixteen frames of 224 px, 32 pairs.

    rxclip pretrain experiments/mvit_base.py

All 32 pairs are contrasted with each other; a device encodes 8 at a time.

The published split leaves no test subjects with video: hold subjects out, or evaluate with --allow-seen-subjects.
"""

from pathlib import Path

from revalexo_clip import (
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
    MViT,
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


class MViTBase(PretrainExperiment):
    name: str = "mvit_base"
    seed: int = 42
    data: Dataset = RevalExo(
        root=Path("data/RevalExoDataset"),
        train_subjects=("29", "02", "24", "26", "05", "07", "17", "06", "11", "03", "20", "01"),
        val_subjects=("08",),
        frames=16,
        crop=224,
        short_side=256,
        workers=8,
    )
    imu: ImuEncoder = DeepConvLSTM(kernel=11, maps=64, hidden=1024)
    video: VideoEncoder = MViT(variant="16x4", weights="kinetics400")
    embed_dim: int = 512
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
    batch_size: int = 32
    micro_batch: int | None = 8
    trainer: TrainerConfig = TrainerConfig(max_epochs=50)
