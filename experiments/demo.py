"""DeepConvLSTM <-> X3D-XS on simulated people: the main job in minutes, on a laptop.

    rxclip synthesize data/demo
    rxclip pretrain experiments/demo.py

Both towers are small, and start from nothing. Eight frames over 2 s show how a body sways and turns; more windows than
usual are drawn from every clip, because there are few clips.
"""

from pathlib import Path

from revalexo_clip import (
    X3D,
    AdamW,
    Dataset,
    DeepConvLSTM,
    ImuEncoder,
    Optimizer,
    PretrainExperiment,
    RevalExo,
    TrainerConfig,
    VideoEncoder,
)


class Demo(PretrainExperiment):
    name: str = "demo"
    data: Dataset = RevalExo(
        root=Path("data/demo"),
        train_subjects=("01", "02", "03", "04", "05", "06"),
        val_subjects=("07",),
        test_subjects=("08",),
        windows_per_clip=40,
        frames=8,
        crop=32,
        short_side=32,
        workers=1,
    )
    imu: ImuEncoder = DeepConvLSTM(maps=16, hidden=128)
    video: VideoEncoder = X3D(size="xs", weights=None, dropout=0.1)
    standardize: bool = True
    embed_dim: int = 128
    optim: Optimizer = AdamW(lr=2.5e-3, warmup=0.15)
    batch_size: int = 16
    trainer: TrainerConfig = TrainerConfig(max_epochs=4)
