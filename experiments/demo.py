"""ResNet1D <-> MotionTower on synthetic subjects: the recommended recipe (`motion.py`), in minutes on a laptop.

    rxclip synthesize data/demo --subjects 12 --overlap 4
    rxclip pretrain experiments/demo.py

Image motion is measured once, between adjacent frames. Terms of the loss compare what the body does moment by moment
(`aligned`), what it does in front of what the camera sees (`pooled`), and single frames with the movement around them
(`frames`). There is no label in any of them.
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


class Demo(PretrainExperiment):
    name: str = "demo"
    data: Dataset = RevalExo(
        root=Path("data/demo"),
        train_subjects=("01", "02", "03", "04", "05", "06", "07", "08"),
        val_subjects=("09",),
        test_subjects=("10", "11", "12"),
        windows_per_clip=32,
        motion=Motion(),
        frames=4,
        crop=32,
        short_side=32,
        workers=1,
    )
    imu: ImuEncoder = ResNet1D(width=48, shared=16)
    video: VideoEncoder = MotionTower(width=48, color="scene", color_width=64)
    standardize: bool = True
    tokens: Tokens | None = Tokens(count=30, dim=16)
    frame_tokens: FrameTokens | None = FrameTokens()
    embed_dim: int = 128
    joint_augment: tuple[JointAugmentation, ...] = (Mirror(),)
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
