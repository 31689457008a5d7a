"""DeepConvLSTM <-> X3D-XS on simulated people: the main job in minutes, on a laptop.

    rxclip synthesize data/demo
    rxclip pretrain experiments/demo.py

Both towers start from nothing, and have minutes. So the video tower sees all of its pixels from the first step and
keeps time, which tells one step from the next, and a batch holds several windows of each clip: negatives that only
motion tells apart. Eight frames over 2 s show how a body sways and turns; more windows than usual are drawn from every
clip, because there are few clips. They come from a pack, which takes so little that loader workers would not pay.
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
        test_subjects=("10",),
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
