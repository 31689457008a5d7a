"""COMODO's objective, with data, budget and augmentation of experiments/motion.py.

    rxclip pretrain experiments/rivals/comodo.py --set data.root=data/my_dataset \
        --set data.train_subjects=01,02,03 --set data.val_subjects=04

The IMU follows the video's distribution over a queue of earlier videos (Chen et al., 2025, arXiv:2503.07259). Its
teacher is a large video model, pretrained and frozen. Here the video encoder learns in the same run from video alone,
by `TemporalContrast`, and nothing of the IMU reaches it. The student is a transformer over patches, in place of the
pretrained models of time series that COMODO starts from. See docs/rivals.md.
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
    JointAugmentation,
    Loss,
    Mirror,
    Motion,
    MotionTower,
    Optimizer,
    PatchTransformer,
    PretrainExperiment,
    QueueDistillation,
    RevalExo,
    Scale,
    SensorRotation,
    Sum,
    TemporalContrast,
    Term,
    TrainerConfig,
    VideoEncoder,
)


class Comodo(PretrainExperiment):
    name: str = "comodo"
    data: Dataset = RevalExo(
        root=Path("data/RevalExoDataset"),
        train_subjects=("29", "02", "24", "26", "05", "07", "17", "06", "11", "03", "20", "01"),
        val_subjects=("08",),
        windows_per_clip=32,
        frames=0,
        motion=Motion(),
    )
    imu: ImuEncoder = PatchTransformer()
    video: VideoEncoder = MotionTower(width=48)
    standardize: bool = True
    embed_dim: int = 128
    joint_augment: tuple[JointAugmentation, ...] = (Mirror(p=0.5),)
    imu_augment: tuple[ImuAugmentation, ...] = (
        SensorRotation(angle=30),
        Scale(range=(0.9, 1.1)),
        GaussianNoise(std=0.1),
    )
    loss: Loss = Sum(
        terms={
            "teacher": Term(TemporalContrast(modality="video")),
            "distillation": Term(QueueDistillation(queue=1024)),
        }
    )
    optim: Optimizer = AdamW(lr=5e-4, weight_decay=0.05, warmup=0.1)
    batch_size: int = 96
    batches: BatchComposition = GroupedBatches(by="clip", windows=12, seconds=12)
    best: BestBy = "last"
    trainer: TrainerConfig = TrainerConfig(max_epochs=20)
