"""An activity classifier that trains in a second, with dropout, and with signals at a step known beforehand.

Tests run this very file; nothing imports it. See `interrupted_experiment` for the signals.
"""

from pathlib import Path

from revalexo_clip import FinetuneExperiment, Head, ImuEncoder, LinearHeads, Recordings, RevalExo, TrainerConfig
from support.interrupted_experiment import Interrupted


class SmallFinetuning(FinetuneExperiment):
    data: Recordings = RevalExo(
        root=Path("dataset"),
        train_subjects=("01", "02"),
        val_subjects=("08",),
        channels=("acc_*", "gyro_Pelvis_*"),
        windows_per_clip=5,
        min_duration=3.0,
        horizons=(0.0, 0.5),
        workers=0,
    )
    encoder: Path | None = None
    imu: ImuEncoder | None = Interrupted()
    embed_dim: int = 8
    head: Head = LinearHeads(hidden=6)
    batch_size: int = 4
    trainer: TrainerConfig = TrainerConfig(max_epochs=3, accelerator="cpu", log_every=1, checkpoint_minutes=None)
