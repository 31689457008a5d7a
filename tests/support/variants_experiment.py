"""An activity classifier that begins with an encoder, small enough to train in a second. Tests run this very file."""

from pathlib import Path

from revalexo_clip import FinetuneExperiment, Recordings, RevalExo, TrainerConfig


class InVariants(FinetuneExperiment):
    data: Recordings = RevalExo(
        root=Path("dataset"),
        train_subjects=("01", "02"),
        val_subjects=("08",),
        test_subjects=("05", "09"),
        channels=("acc_*", "gyro_Pelvis_*"),
        windows_per_clip=8,
        min_duration=3.0,
        horizons=(0.0, 0.5),
        workers=0,
    )
    encoder: Path | None = Path("pretrained")
    batch_size: int = 4
    trainer: TrainerConfig = TrainerConfig(max_epochs=1, accelerator="cpu")
