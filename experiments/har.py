"""Recognition of eleven activities from a head-worn IMU, with little data: eight people to learn from, four to test on.

    rxclip finetune experiments/har.py

The recordings are Dataset_1A of MU-Smart/ClassyGlass (CC BY 4.0), as one .npz file.
"""

from pathlib import Path

from revalexo_clip import (
    AdamW,
    FinetuneExperiment,
    GaussianNoise,
    HalfTurn,
    ImuAugmentation,
    ImuEncoder,
    ImuRecordings,
    Optimizer,
    Recordings,
    Scale,
    SpectralAttention,
    TimeWarp,
    TrainerConfig,
)


class Har(FinetuneExperiment):
    data: Recordings = ImuRecordings(
        root=Path("data/har_classyglass1a_60hz.npz"),
        channels={f"{kind}_Head_{axis}": f"{kind}_{axis}" for kind in ("acc", "gyro") for axis in "xyz"},
        train_subjects=("1", "2", "3", "4", "6", "7", "8"),
        val_subjects=("5",),
        test_subjects=("9", "10", "11", "12"),
        train_stride=3.0,
    )
    encoder: Path | None = None
    imu: ImuEncoder | None = SpectralAttention()
    embed_dim: int = 64
    standardize: bool = True
    imu_augment: tuple[ImuAugmentation, ...] = (HalfTurn(), Scale(), TimeWarp(), GaussianNoise())
    optim: Optimizer = AdamW(lr=3e-3, warmup=0.1, weight_decay=0.01)
    batch_size: int = 64
    trainer: TrainerConfig = TrainerConfig(max_epochs=30, average=0.99)
