r"""DeepConvLSTM on RevalExo: pretrained and finetuned on healthy subjects, tested on subjects after a stroke.

    rxclip pretrain experiments/x3d_xs.py --set name=healthy \
        --set data.train_subjects=01,02,03,11,20,24 --set data.val_subjects=29
    rxclip finetune experiments/healthy_to_stroke.py

Four of the ten test subjects have no video, which is not needed here. The benchmark trains on all seven healthy
subjects and has no validation subjects; here 29 is the validation subject, in pretraining too. The published encoder
was trained on six of the ten test subjects and would be refused. The same without pretraining: --set from_scratch=true
"""

from pathlib import Path

from revalexo_clip import FinetuneExperiment, Recordings, RevalExo


class HealthyToStroke(FinetuneExperiment):
    name: str = "healthy_to_stroke"
    data: Recordings = RevalExo(
        root=Path("data/RevalExoDataset"),
        train_subjects=("01", "02", "03", "11", "20", "24"),
        val_subjects=("29",),
        test_subjects=("05", "06", "07", "08", "09", "12", "15", "17", "23", "26"),
        horizons=(0.0, 0.1, 0.2, 0.3, 0.5, 1.0),
    )
    encoder: Path | None = Path("runs/healthy")
