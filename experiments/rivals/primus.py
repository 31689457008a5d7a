"""PRIMUS's objective and IMU encoder, with data, budget and augmentation of experiments/motion.py.

    rxclip pretrain experiments/rivals/primus.py --set data.root=data/my_dataset \
        --set data.train_subjects=01,02,03 --set data.val_subjects=04

Three terms (Das et al., 2024, arXiv:2411.15127): two augmentations of an IMU window, IMU and video, and the nearest
neighbours of earlier steps with the partners of the window. The IMU encoder is IMU2CLIP's stacked one. PRIMUS has a
head for self-supervision and one for video; here one head serves both. See docs/rivals.md.
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
    NearestNeighbours,
    Optimizer,
    PretrainExperiment,
    RevalExo,
    Scale,
    SelfContrast,
    SensorRotation,
    StackedConvGRU,
    Sum,
    Term,
    TrainerConfig,
    VideoEncoder,
)


class Primus(PretrainExperiment):
    name: str = "primus"
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
    loss: Loss = Sum(
        terms={
            "self": Term(SelfContrast()),
            "pooled": Term(InfoNCE()),
            "neighbours": Term(NearestNeighbours(queue=1024)),
        }
    )
    optim: Optimizer = AdamW(lr=2e-3, weight_decay=0.05, warmup=0.1)
    batch_size: int = 96
    best: BestBy = "last"
    trainer: TrainerConfig = TrainerConfig(max_epochs=20)
