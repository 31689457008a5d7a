"""Exported classifiers with new weights, and recordings for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file

from revalexo_clip.core.types import ImuSpec
from revalexo_clip.devices.base import channels_of
from revalexo_clip.export import DESCRIPTION, WEIGHTS, ClassifierDescription, ExportedClassifier, Origin
from revalexo_clip.export.classifier import build_classifier
from revalexo_clip.export.loading import weights_metadata
from revalexo_clip.models.classifier import LinearHeads
from revalexo_clip.models.encoders import ImuEncoder, ResNet1D

RATE, WINDOW = 50.0, 1.0
LABELS = ("standing", "walking", "stairs up")
HORIZONS = (0.0, 0.5)
UNITS = ("m/s^2",) * 3 + ("rad/s",) * 3


def made_classifier(
    encoder: ImuEncoder | None = None, *, rate: float = RATE, window: float = WINDOW, seed: int = 0
) -> ExportedClassifier:
    """Return a classifier of six channels of the head, with new weights whose predictions vary."""
    spec = ImuSpec(channels_of("Head"), UNITS, rate=rate, window=window, mean=(0.0,) * 6, std=(3.0,) * 6)
    description = ClassifierDescription(
        encoder=encoder or ResNet1D(width=8),
        embed_dim=8,
        head=LinearHeads(hidden=6),
        imu=spec,
        labels=LABELS,
        trained_labels=LABELS[:2],
        horizons=HORIZONS,
        origin=Origin(experiment="made", checkpoint="best.ckpt", subjects={"train": ("Anna",)}, versions={}),
    )
    torch.manual_seed(seed)
    classifier = build_classifier(description)
    with torch.no_grad():
        for parameter in classifier.head.parameters():
            parameter.mul_(4)
    return classifier.eval()


def write_classifier(folder: Path, classifier: ExportedClassifier) -> Path:
    """Write the folder of a classifier."""
    folder.mkdir()
    metadata = weights_metadata(classifier.description)
    save_file(classifier.state_dict(), folder / WEIGHTS, metadata=metadata)
    (folder / DESCRIPTION).write_text(classifier.description.model_dump_json())
    return folder


def signals(samples: int, rate: float = RATE, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return six channels [n, 6] in m/s^2 and rad/s, with gravity, that change all the time."""
    time_n = np.arange(samples) / rate
    columns = [np.sin((1 + place) * time_n) + (9.81 if place == 2 else 0) for place in range(6)]
    noise_n6 = np.random.default_rng(seed).normal(0, 0.5, (samples, 6))
    return (np.stack(columns, axis=1) + noise_n6).astype(np.float32)


def write_table(path: Path, samples_n6: npt.NDArray[np.float32], rate: float = RATE, start: float = 0.0) -> Path:
    """Write a CSV file with a clock [s]."""
    time_n = start + np.arange(len(samples_n6)) / rate
    names = ",".join(["time", *channels_of("Head")])
    table_n7 = np.concatenate([time_n[:, None], samples_n6], axis=1)
    np.savetxt(path, table_n7, delimiter=",", header=names, comments="", fmt="%.9f")
    return path
