"""The demo's encoder becomes an activity classifier of what a person does now and will do within a second, from IMUs alone.

    rxclip pretrain experiments/demo.py
    rxclip finetune experiments/demo_classifier.py

People are those of the demo: whom the encoder was selected on, checkpoints are selected on here too, and the one it has
never seen is the one to be tested. The settings are the benchmark's but for what a minute of training asks for: smaller
batches and a higher learning rate.
"""

from pathlib import Path

from revalexo_clip import Adam, FinetuneExperiment, Optimizer, Recordings, RevalExo, TrainerConfig


class DemoClassifier(FinetuneExperiment):
    name: str = "demo_classifier"
    data: Recordings = RevalExo(
        root=Path("data/demo"),
        train_subjects=("01", "02", "03", "04", "05", "06", "07", "08"),
        val_subjects=("09",),
        test_subjects=("10",),
        horizons=(0.0, 0.1, 0.2, 0.3, 0.5, 1.0),
        workers=0,
    )
    encoder: Path | None = Path("runs/demo")
    optim: Optimizer = Adam(lr=1e-3)
    batch_size: int = 32
    trainer: TrainerConfig = TrainerConfig(max_epochs=20, early_stopping=10)
