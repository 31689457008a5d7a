"""ResNet1D <-> MotionTower on measured image motion: the recommended recipe.

    rxclip pretrain experiments/motion.py --set data.root=data/my_dataset \
        --set data.train_subjects=01,02,03 --set data.val_subjects=04

Motion is measured once, between adjacent frames, and both encoders keep time: the term `aligned` compares them moment
by moment, so that retrieval finds the moment. The term `recording` compares the windows of a recording with each other:
those close in time are partners, so that features tell what stays the same for seconds, which is the activity.
"""

from pathlib import Path

from revalexo_clip import (
    AdamW,
    BatchComposition,
    BestBy,
    Dataset,
    GaussianNoise,
    GroupedBatches,
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
    ResNet1D,
    RevalExo,
    Scale,
    SensorRotation,
    Sum,
    TemporalContrast,
    Term,
    Tokens,
    TrainerConfig,
    VideoEncoder,
)


class MotionRecipe(PretrainExperiment):
    name: str = "motion"
    data: Dataset = RevalExo(
        root=Path("data/RevalExoDataset"),
        train_subjects=("29", "02", "24", "26", "05", "07", "17", "06", "11", "03", "20", "01"),
        val_subjects=("08",),
        windows_per_clip=32,
        frames=0,
        motion=Motion(),
    )
    imu: ImuEncoder = ResNet1D(width=48, pooled_width=48, shared=16)
    video: VideoEncoder = MotionTower(width=48)
    standardize: bool = True
    tokens: Tokens | None = Tokens(count=30, dim=16)
    embed_dim: int = 128
    joint_augment: tuple[JointAugmentation, ...] = (Mirror(p=0.5),)
    imu_augment: tuple[ImuAugmentation, ...] = (
        SensorRotation(angle=30),
        Scale(range=(0.9, 1.1)),
        GaussianNoise(std=0.1),
    )
    loss: Loss = Sum(
        terms={
            "aligned": Term(InfoNCE(on="tokens")),
            "recording": Term(TemporalContrast()),
        }
    )
    optim: Optimizer = AdamW(lr=2e-3, weight_decay=0.05, warmup=0.1)
    batch_size: int = 96
    batches: BatchComposition = GroupedBatches(by="clip", windows=12, seconds=12)
    best: BestBy = "last"  # terms do not agree on an epoch, and the learning rate ends near 0
    trainer: TrainerConfig = TrainerConfig(max_epochs=20)
