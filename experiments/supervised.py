"""The supervised reference: the demo's IMU encoder from new weights, trained on all labels of the training subjects.

    rxclip pretrain experiments/demo.py
    rxclip finetune experiments/supervised.py
    rxclip evaluate --ckpt runs/demo --reference runs/supervised

The evaluation then says which share of the gap between the untrained and this network pretraining closes without a
label. For other runs: --set encoder=runs/NAME and the subjects of that run (--set data.root=... and so on).
"""

from pathlib import Path

from revalexo_clip import (
    AdamW,
    FinetuneExperiment,
    GaussianNoise,
    ImuAugmentation,
    Optimizer,
    Recordings,
    RevalExo,
    Scale,
    SensorRotation,
    TrainerConfig,
)


class Supervised(FinetuneExperiment):
    name: str = "supervised"
    data: Recordings = RevalExo(
        root=Path("data/demo"),
        train_subjects=("01", "02", "03", "04", "05", "06", "07", "08"),
        val_subjects=("09",),
        test_subjects=("10", "11", "12"),
        windows_per_clip=32,
        workers=1,
    )
    encoder: Path | None = Path("runs/demo")
    from_scratch: bool = True
    imu_augment: tuple[ImuAugmentation, ...] = (
        SensorRotation(angle=30),
        Scale(range=(0.9, 1.1)),
        GaussianNoise(std=0.1),
    )
    optim: Optimizer = AdamW(lr=2e-3, weight_decay=0.05, warmup=0.1)
    batch_size: int = 96
    trainer: TrainerConfig = TrainerConfig(max_epochs=20)
