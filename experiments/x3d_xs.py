"""DeepConvLSTM <-> X3D-XS on RevalExo, as published: four frames of 182 px, 64 pairs.

    rxclip pretrain experiments/x3d_xs.py

Four frames over 2 s sample the video at 2 Hz and cannot show a 2 Hz step; for retrieving moments rather than kinds
of moments, see more of them: --set data.frames=16.
"""

from pathlib import Path

from revalexo_clip import (
    X3D,
    AdamW,
    Dataset,
    DeepConvLSTM,
    ImuEncoder,
    InfoNCE,
    Loss,
    Optimizer,
    PretrainExperiment,
    RevalExo,
    TrainerConfig,
    VideoEncoder,
)


class X3DXS(PretrainExperiment):
    name: str = "x3d_xs"
    seed: int = 42
    data: Dataset = RevalExo(
        root=Path("data/RevalExoDataset"),
        train_subjects=("29", "02", "24", "26", "05", "07", "17", "06", "11", "03", "20", "01"),
        val_subjects=("08",),
        frames=4,
        crop=182,
        short_side=182,
        workers=8,
    )
    imu: ImuEncoder = DeepConvLSTM(kernel=11, maps=64, hidden=1024)
    video: VideoEncoder = X3D(size="xs", weights="kinetics400")
    embed_dim: int = 256
    loss: Loss = InfoNCE(temperature=0.1)
    optim: Optimizer = AdamW(lr=5e-5, weight_decay=2.5e-4, final_lr=1e-6)
    batch_size: int = 64
    trainer: TrainerConfig = TrainerConfig(max_epochs=50)
