"""IMU2CLIP's objective and IMU encoder, with data, budget and augmentation of experiments/motion.py.

    rxclip pretrain experiments/rivals/imu2clip.py --set data.root=data/my_dataset \
        --set data.train_subjects=01,02,03 --set data.val_subjects=04

One vector of a window, one InfoNCE between IMU and video (Moon et al., 2022, arXiv:2210.14395), and the stacked encoder
with its published sizes. Its video encoder is a frozen CLIP, which reads single frames; here it is the video encoder of
the recipe, which is trained. See docs/rivals.md.
"""

from pathlib import Path

from revalexo_clip import (
    AdamW,
    BestBy,
    Dataset,
    GaussianNoise,
    ImuAugmentation,
    ImuEncoder,
    InfoNCE,
    JointAugmentation,
    Loss,
    Mirror,
    Motion,
    MotionTower,
    Optimizer,
    PretrainExperiment,
    RevalExo,
    Scale,
    SensorRotation,
    StackedConvGRU,
    TrainerConfig,
    VideoEncoder,
)


class IMU2CLIP(PretrainExperiment):
    name: str = "imu2clip"
    data: Dataset = RevalExo(
        root=Path("data/RevalExoDataset"),
        train_subjects=("29", "02", "24", "26", "05", "07", "17", "06", "11", "03", "20", "01"),
        val_subjects=("08",),
        windows_per_clip=32,
        frames=0,
        motion=Motion(),
    )
    imu: ImuEncoder = StackedConvGRU()
    video: VideoEncoder = MotionTower(width=48)
    embed_dim: int = 128
    joint_augment: tuple[JointAugmentation, ...] = (Mirror(p=0.5),)
    imu_augment: tuple[ImuAugmentation, ...] = (
        SensorRotation(angle=30),
        Scale(range=(0.9, 1.1)),
        GaussianNoise(std=0.1),
    )
    loss: Loss = InfoNCE()
    optim: Optimizer = AdamW(lr=2e-3, weight_decay=0.05, warmup=0.1)
    batch_size: int = 96
    best: BestBy = "last"
    trainer: TrainerConfig = TrainerConfig(max_epochs=20)
