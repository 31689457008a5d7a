"""The small experiment in this process, and the files of its runs."""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from torch import Tensor

from revalexo_clip.config.loading import load_experiment
from revalexo_clip.config.pretraining import PretrainExperiment
from support.small_process import EXPERIMENT

DESCENT = EXPERIMENT.with_name("descent_experiment.py")
"""The small experiment with plain gradient descent, all windows in one batch."""


def small(root: Path, *overrides: str, file: Path = EXPERIMENT) -> PretrainExperiment:
    """The small experiment on a dataset, loaded without worker processes unless the overrides say otherwise."""
    return load_experiment(str(file), [f"data.root={root}", "data.workers=0", *overrides])


def weights(checkpoint: Path) -> dict[str, Tensor]:
    """Return all trained parameters: those of the model and the temperature."""
    state: dict[str, Tensor] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return state


def metrics(run: Path) -> list[dict[str, str]]:
    """Return the rows of `metrics.csv` without the speed."""
    with (run / "metrics.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "train/waiting"} for row in csv.DictReader(file)]


def logged(run: Path, metric: str) -> list[float]:
    """The values of a metric in `metrics.csv`, in the order in which they were logged."""
    with (run / "metrics.csv").open(newline="") as file:
        return [float(row[metric]) for row in csv.DictReader(file) if row.get(metric)]
