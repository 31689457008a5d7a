"""Activity classifiers in folds that train in a second. Tests run this very file; nothing imports it."""

from collections.abc import Iterable
from pathlib import Path

from revalexo_clip import (
    DeepConvLSTM,
    FinetuneExperiment,
    Fold,
    Folds,
    ImuEncoder,
    LeaveOneSubjectOut,
    Recordings,
    RevalExo,
    TrainerConfig,
)


class Apart(Folds):
    """Two folds that share only their validation subjects."""

    def split(self, data: Recordings) -> Iterable[Fold]:
        return Fold("one", ("01",), ("08",), ("05",)), Fold("two", ("02",), ("08",), ("09",))


class LeavingOneOut(FinetuneExperiment):
    data: Recordings = RevalExo(
        root=Path("dataset"),
        train_subjects=("01", "02", "05"),
        val_subjects=(),
        channels=("acc_*", "gyro_Pelvis_*"),
        windows_per_clip=8,
        min_duration=3.0,
        horizons=(0.0, 0.5),
        frames=4,
        crop=32,
        short_side=36,
        workers=0,
        pack="off",
    )
    encoder: Path | None = None
    imu: ImuEncoder | None = DeepConvLSTM(maps=4, hidden=8)
    embed_dim: int = 16
    batch_size: int = 4
    folds: Folds | None = LeaveOneSubjectOut()
    trainer: TrainerConfig = TrainerConfig(max_epochs=2, accelerator="cpu")


class InTwo(LeavingOneOut):
    folds: Folds | None = Apart()
