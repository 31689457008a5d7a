"""A first run on your own recordings in RevalExo's layout: DeepConvLSTM <-> X3D-XS, small, no published weights.

    rxclip check-data data/own --channels 'acc_*' --channels 'gyro_*'
    rxclip pretrain experiments/own_data.py --dry-run
    rxclip pretrain experiments/own_data.py

Copy this file and change what is marked CHANGE; docs/own-data.md describes the layout and the steps. To try it before
you have recordings: `rxclip synthesize data/own --subjects 5`.
"""

from pathlib import Path

from revalexo_clip import (
    X3D,
    AdamW,
    BatchComposition,
    Dataset,
    DeepConvLSTM,
    GroupedBatches,
    ImuEncoder,
    Optimizer,
    PretrainExperiment,
    RevalExo,
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
        windows_per_clip=32,  # drawn from each clip in each epoch; many, because there are few clips
        frames=8,  # 8 frames in a 2 s window show single steps
        crop=64,  # small frames, so that a CPU can train; with a GPU, use 160 or more
        short_side=64,
        workers=2,
    )
    imu: ImuEncoder = DeepConvLSTM(maps=16, hidden=128)
    # Both options help a video encoder that starts with random weights. With published weights, leave them out:
    # X3D(size="xs", weights="kinetics400").
    video: VideoEncoder = X3D(size="xs", weights=None, dropout=0.1, keep_time=True, average_shortcuts=True)
    standardize: bool = True  # scale every IMU channel to mean 0 and deviation 1, measured on the training subjects
    embed_dim: int = 128
    optim: Optimizer = AdamW(lr=1e-3, warmup=0.15)
    batch_size: int = 16  # pairs contrasted with each other; larger is better if memory allows
    batches: BatchComposition = GroupedBatches(
        by="clip", windows=4
    )  # negatives from the same clip, not only from others
    trainer: TrainerConfig = TrainerConfig(max_epochs=10)
