"""Activity classifiers that train in seconds."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

import torch
from torch import Tensor

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.finetuning.run import finetune

EXPERIMENT = Path(__file__).with_name("finetuning_experiment.py")
"""A finetuning whose new encoder has dropout."""


def finetuning(root: Path, encoder: Path | None, **fields: object) -> FinetuneExperiment:
    """An activity classifier on the data of `built_in_experiment`, from its encoder; 05 and 09 are test subjects."""
    data = {
        "type": "RevalExo",
        "root": str(root),
        "train_subjects": ("01", "02"),
        "val_subjects": ("08",),
        "test_subjects": ("05", "09"),
        "channels": ("acc_*", "gyro_Pelvis_*"),
        "windows_per_clip": 8,
        "min_duration": 3.0,
        "frames": 4,
        "crop": 32,
        "short_side": 36,
        "horizons": (0.0, 0.5),
        "workers": 0,
    }
    return FinetuneExperiment.model_validate(
        {
            "name": "classifier",
            "data": data,
            "encoder": encoder,
            "batch_size": 8,
            "trainer": {"max_epochs": 2, "accelerator": "cpu", "log_every": 1},
        }
        | fields
    )


def train_classifier(experiment: FinetuneExperiment, folder: Path) -> Path:
    """Finetune with `folder` as the working directory, and return the run folder."""
    with chdir(folder):
        return folder / finetune(experiment).folder


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two state dicts hold the same tensors."""
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())
