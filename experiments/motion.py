"""ResNet1D <-> MotionTower on measured image motion: the recommended recipe.

    rxclip pretrain experiments/motion.py --set data.root=data/my_dataset \
        --set data.train_subjects=01,02,03 --set data.val_subjects=04

Motion is measured once, between adjacent frames, and both encoders keep time: a term of the loss compares them moment
by moment, another one as a whole. Sensors are silenced at random, because a sensor that shares a rigid body with the
camera would otherwise answer alone, and the others would never be listened to.
"""

from pathlib import Path

from revalexo_clip import (
    AdamW,
    BatchComposition,
    BestBy,
    ColorJitter,
    Dataset,
    FrameTokens,
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
    PerFrame,
    PretrainExperiment,
    ResNet1D,
    RevalExo,
    Scale,
    SensorRotation,
    Sum,
    Term,
    Tokens,
    TrainerConfig,
    VideoAugmentation,
    VideoEncoder,
)


class MotionRecipe(PretrainExperiment):
    name: str = "motion"
    data: Dataset = RevalExo(
        root=Path("data/RevalExoDataset"),
        train_subjects=("29", "02", "24", "26", "05", "07", "17", "06", "11", "03", "20", "01"),
        val_subjects=("08",),
        windows_per_clip=32,
        frames=4,
        crop=32,
        short_side=32,
        motion=Motion(),
    )
    imu: ImuEncoder = ResNet1D(width=48, shared=16)
    video: VideoEncoder = MotionTower(width=48, color="scene", color_width=64)
    standardize: bool = True
    tokens: Tokens | None = Tokens(count=30, dim=16)
    frame_tokens: FrameTokens | None = FrameTokens()
    embed_dim: int = 128
    joint_augment: tuple[JointAugmentation, ...] = (Mirror(p=0.5),)
    imu_augment: tuple[ImuAugmentation, ...] = (
        SensorRotation(angle=30),
        Scale(range=(0.9, 1.1)),
        GaussianNoise(std=0.1),
    )
    video_augment: tuple[VideoAugmentation, ...] = (
        ColorJitter(brightness=0.4, contrast=0.4, saturation=0.3, hue=0.05),
    )
    loss: Loss = Sum(
        terms={
            "aligned": Term(InfoNCE(on="tokens")),
            "pooled": Term(InfoNCE()),
            "frames": Term(PerFrame(loss=InfoNCE())),
        }
    )
    optim: Optimizer = AdamW(lr=2e-3, weight_decay=0.05, warmup=0.1)
    batch_size: int = 96
    batches: BatchComposition = GroupedBatches(by="recording", windows=4)
    best: BestBy = "last"  # terms do not agree on an epoch, and the learning rate ends near 0
    trainer: TrainerConfig = TrainerConfig(max_epochs=20)
