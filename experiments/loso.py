"""DeepConvLSTM classifies activities on RevalExo, with leave-one-subject-out cross-validation.

    rxclip finetune experiments/loso.py --jobs 4
    rxclip finetune experiments/loso.py --jobs 4 --pretrain experiments/x3d_xs.py

There is one fold for each of the thirteen subjects with both modalities; the validation subject is the one named next.
Every subject is a test subject in one fold, so no encoder that was trained on some of them can be used: the encoder is
a new one, or with `--pretrain` it is pretrained in every fold, on the training and validation subjects of the fold.
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
