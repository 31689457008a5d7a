"""Activity classification with DeepConvLSTM on RevalExo, leaving out one subject at a time.

    rxclip finetune experiments/loso.py --jobs 4
    rxclip finetune experiments/loso.py --jobs 4 --pretrain experiments/x3d_xs.py

One fold for each of the thirteen subjects with both modalities; its checkpoint is chosen on the subject that is named
next. Every subject is tested here, so no pretrained encoder would be unseen by all of them: the encoder starts from
random weights, or with `--pretrain` is pretrained in every fold, on the subjects that the fold trains and validates on.
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
