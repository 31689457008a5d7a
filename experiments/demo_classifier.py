"""Finetune the demo's IMU encoder to classify the current activity and those up to one second ahead.

    rxclip pretrain experiments/demo.py
    rxclip finetune experiments/demo_classifier.py

The split is that of the demo: the validation subject is the same in both trainings, and the test subject is unseen in
both. The settings are those of the benchmark, except smaller batches and a higher learning rate, because training
takes a minute.
"""

from pathlib import Path

from revalexo_clip import Adam, FinetuneExperiment, Optimizer, Recordings, RevalExo, TrainerConfig


class DemoClassifier(FinetuneExperiment):
    name: str = "demo_classifier"
    data: Recordings = RevalExo(
        root=Path("data/demo"),
        train_subjects=("01", "02", "03", "04", "05", "06", "07", "08"),
        val_subjects=("09",),
        test_subjects=("10", "11", "12"),
        horizons=(0.0, 0.1, 0.2, 0.3, 0.5, 1.0),
        workers=0,
    )
    encoder: Path | None = Path("runs/demo")
    optim: Optimizer = Adam(lr=1e-3)
    batch_size: int = 32
    trainer: TrainerConfig = TrainerConfig(max_epochs=20, early_stopping=10)
