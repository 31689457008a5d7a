"""DeepConvLSTM <-> MViT-B 16x4 on RevalExo, as published: sixteen frames of 224 px, 32 pairs.

    rxclip pretrain experiments/mvit_base.py

The 32 pairs are all contrasted with each other; a device encodes 8 at a time.
"""

from pathlib import Path

from revalexo_clip import (
    AdamW,
    Dataset,
    DeepConvLSTM,
    ImuEncoder,
    InfoNCE,
    Loss,
    MViT,
    Optimizer,
    PretrainExperiment,
    RevalExo,
    TrainerConfig,
    VideoEncoder,
)


class MViTBase(PretrainExperiment):
    name: str = "mvit_base"
    seed: int = 42
    data: Dataset = RevalExo(
        root=Path("data/RevalExoDataset"),
        train_subjects=("29", "02", "24", "26", "05", "07", "17", "06", "11", "03", "20", "01"),
        val_subjects=("08",),
        frames=16,
        crop=224,
        short_side=256,
        workers=8,
    )
    imu: ImuEncoder = DeepConvLSTM(kernel=11, maps=64, hidden=1024)
    video: VideoEncoder = MViT(variant="16x4", weights="kinetics400")
    embed_dim: int = 512
    loss: Loss = InfoNCE(temperature=0.1)
    optim: Optimizer = AdamW(lr=5e-5, weight_decay=2.5e-4, final_lr=1e-6)
    batch_size: int = 32
    micro_batch: int | None = 8
    trainer: TrainerConfig = TrainerConfig(max_epochs=50)
