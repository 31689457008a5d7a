r"""DeepConvLSTM, pretrained and finetuned on healthy people, recognises activities after a stroke, on RevalExo.

    rxclip pretrain experiments/x3d_xs.py --set name=healthy \
        --set data.train_subjects=01,02,03,11,20,24 --set data.val_subjects=29
    rxclip finetune experiments/healthy_to_stroke.py

Four of the ten tested people have no video, which this does not need. The benchmark trains on all seven healthy people
and names nobody to choose the checkpoint on: here that is 29, in pretraining too. The encoder published with it has
seen six of the ten, and would be refused. The same without pretraining: --set from_scratch=true
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
