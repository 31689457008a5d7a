"""DeepConvLSTM recognises activities on RevalExo, leaving out one person after the other.

    rxclip finetune experiments/loso.py --jobs 4
    rxclip finetune experiments/loso.py --jobs 4 --pretrain experiments/x3d_xs.py

The thirteen people with both modalities, a fold for each; its checkpoint is chosen on the person that is named next.
An encoder has seen people, and everybody is tested here: so it begins as a new one, or with `--pretrain` is pretrained
anew in every fold, on those that the fold trains and validates on.
"""

from pathlib import Path

from revalexo_clip import (
    DeepConvLSTM,
    FinetuneExperiment,
    Folds,
    ImuEncoder,
    LeaveOneSubjectOut,
    Recordings,
    RevalExo,
)


class LOSO(FinetuneExperiment):
    name: str = "loso"
    data: Recordings = RevalExo(
        root=Path("data/RevalExoDataset"),
        train_subjects=("01", "02", "03", "05", "06", "07", "08", "11", "17", "20", "24", "26", "29"),
        val_subjects=(),
        horizons=(0.0, 0.1, 0.2, 0.3, 0.5, 1.0),
    )
    encoder: Path | None = None
    imu: ImuEncoder | None = DeepConvLSTM(kernel=11, maps=64, hidden=1024)
    folds: Folds | None = LeaveOneSubjectOut(validation=1)
