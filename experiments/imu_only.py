"""SpectralAttention pretrained on IMU recordings alone, without video and without labels.

    rxclip pretrain experiments/imu_only.py
    rxclip finetune experiments/har.py --set encoder=runs/imu_only/NEWEST --set imu=none --set standardize=false

The architecture is that of experiments/har.py, so that an activity classifier from scratch differs from a pretrained
one only in the initial weights; `--compare scratch,full` trains both.

The encoder learns to recognise a window by another augmentation of it (`SelfContrast`). Batches have many windows of
one subject, so that how a sensor is worn does not give the answer. Checkpoints are chosen by nearest neighbours, not by
the loss. Rotations are small, because gravity tells activities apart; half a turn is for these recordings alone, see
experiments/har.py.

On recordings in RevalExo's layout, whose videos are not read, there is no half turn:

    rxclip pretrain experiments/imu_only.py --set data.type=RevalExo --set data.root=data/my_dataset \
        --set data.train_subjects=01,02,03 --set data.val_subjects=04,05 --set data.test_subjects=06,07 \
        --set imu_augment.0.p=0
"""

from pathlib import Path

from revalexo_clip import (
    AdamW,
    BatchComposition,
    GaussianNoise,
    GroupedBatches,
    HalfTurn,
    ImuAugmentation,
    ImuEncoder,
    ImuRecordings,
    Loss,
    Optimizer,
    PretrainExperiment,
    Recordings,
    Scale,
    SelfContrast,
    SensorRotation,
    SpectralAttention,
    TimeWarp,
    TrainerConfig,
    VideoEncoder,
)


class ImuOnly(PretrainExperiment):
    data: Recordings = ImuRecordings(
        root=Path("data/har_classyglass1a_60hz.npz"),
        channels={f"{kind}_Head_{axis}": f"{kind}_{axis}" for kind in ("acc", "gyro") for axis in "xyz"},
        train_subjects=("1", "2", "3", "4", "6", "7"),
        val_subjects=("5", "8"),  # two, so that neighbours of one subject can be those of the other
        test_subjects=("9", "10", "11", "12"),
    )
    imu: ImuEncoder = SpectralAttention()
    video: VideoEncoder | None = None
    standardize: bool = True
    embed_dim: int = 64
    imu_augment: tuple[ImuAugmentation, ...] = (
        HalfTurn(),  # two of the eight subjects wore the glasses upside down
        SensorRotation(angle=20),  # gravity tells activities apart: a rotation of any size would hide it
        Scale(range=(0.8, 1.2)),
        TimeWarp(),
        GaussianNoise(std=0.1),
    )
    loss: Loss = SelfContrast()
    optim: Optimizer = AdamW(lr=1e-3, weight_decay=0.05, warmup=0.1)
    batch_size: int = 128
    batches: BatchComposition = GroupedBatches(by="subject", windows=32)
    trainer: TrainerConfig = TrainerConfig(max_epochs=10)
