"""A first run on your own recordings in RevalExo's layout: the recommended recipe (`motion.py`), on a CPU.

    rxclip check-data data/own --channels 'acc_*' --channels 'gyro_*'
    rxclip pretrain experiments/own_data.py --dry-run
    rxclip pretrain experiments/own_data.py

Copy this file and change what is marked CHANGE; docs/own-recordings.md has the steps, also with a single recording. To
try it before you have recordings: `rxclip synthesize data/own --subjects 5`.
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
    Loss,
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


class OwnData(PretrainExperiment):
    name: str = "own_data"
    data: Dataset = RevalExo(
        root=Path("data/own"),  # CHANGE: the folder with label_mapping.json and data_pairs/
        # CHANGE: subjects as their files name them, or by the number at the end of the name. No subject may be in two
        # of the lists: checkpoints are chosen on `val_subjects`, and results are reported for `test_subjects`.
        train_subjects=("01", "02", "03"),
        val_subjects=("04",),
        test_subjects=("05",),
        # CHANGE: the IMU columns to use. These patterns take every accelerometer [m/s^2] and gyroscope [rad/s].
        channels=("acc_*", "gyro_*"),
        imu_rate=60.0,  # CHANGE: rows per second in the CSV files [Hz]
        min_duration=4.0,  # shorter clips are not used [s]; must be at least as long as a window
        # CHANGE: windows drawn from each clip in each epoch. 500 steps in all are a good start:
        # steps = epochs x clips x windows_per_clip / batch_size.
        windows_per_clip=64,
        motion=Motion(),  # image motion, measured once between adjacent frames
        frames=0,  # motion is all that the video encoder sees
        workers=1,
    )
    # Sensors share their first layer. Without `shared` if one of them has no accelerometer or no gyroscope.
    imu: ImuEncoder = ResNet1D(width=48, pooled_width=48, shared=16)
    video: VideoEncoder = MotionTower(width=48)
    standardize: bool = True  # scale every IMU channel to mean 0 and deviation 1, measured on the training subjects
    tokens: Tokens | None = Tokens(count=30, dim=16)
    embed_dim: int = 128
    # CHANGE: joint_augment=(Mirror(),) helps if segments are named Left and Right and their axes mirror each other.
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
    batch_size: int = 96  # pairs contrasted with each other; lower it if you have fewer windows
    batches: BatchComposition = GroupedBatches(
        by="clip", windows=12, seconds=12
    )  # negatives from the same recording, too
    best: BestBy = "last"  # terms do not agree on an epoch, and the learning rate ends near 0
    trainer: TrainerConfig = TrainerConfig(max_epochs=20)
