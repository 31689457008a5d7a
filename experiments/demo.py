"""DeepConvLSTM <-> X3D-XS on synthetic subjects: pretraining in minutes, on a laptop.

    rxclip synthesize data/demo --subjects 12 --overlap 4
    rxclip pretrain experiments/demo.py

Both towers start from new weights, and have minutes to learn. Therefore the video tower keeps the time axis
(`keep_time`) and sees all pixels from the first step (`average_shortcuts`), and a batch holds several windows of each
clip: negatives that differ only in motion. Eight frames over 2 s show how a body sways and turns. More windows than
usual are drawn from each clip, because there are few clips. They come from a pack, which is so fast that loader
workers do not pay off.
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


class Demo(PretrainExperiment):
    name: str = "demo"
    data: Dataset = RevalExo(
        root=Path("data/demo"),
        train_subjects=("01", "02", "03", "04", "05", "06", "07", "08"),
        val_subjects=("09",),
        test_subjects=("10", "11", "12"),
        windows_per_clip=32,
        frames=8,
        crop=32,
        short_side=32,
        workers=0,
    )
    imu: ImuEncoder = DeepConvLSTM(maps=16, hidden=128)
    video: VideoEncoder = X3D(size="xs", weights=None, dropout=0.1, keep_time=True, average_shortcuts=True)
    standardize: bool = True
    embed_dim: int = 128
    optim: Optimizer = AdamW(lr=1.5e-3, warmup=0.15)
    batch_size: int = 16
    batches: BatchComposition = GroupedBatches(by="clip", windows=4)
    trainer: TrainerConfig = TrainerConfig(max_epochs=5)
