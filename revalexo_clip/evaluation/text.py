"""The text tower of a checkpoint, and the vectors of windows that are compared with those of sentences."""

from __future__ import annotations

import torch
from torch import Tensor

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.metrics.evaluated import EvaluatedWindows
from revalexo_clip.models.text.tower import TextTower
from revalexo_clip.runs.checkpoint import Checkpoint

TOWER = "text.tower."
"""Prefix of the text tower's weights in the state of a checkpoint."""


def load_text(checkpoint: Checkpoint) -> TextTower:
    """Build the text tower with the checkpoint's weights, in eval mode.

    Raises `ConfigError` if the checkpoint has none, `DataError` if the text model cannot be read or is another one.
    """
    with torch.random.fork_rng(devices=[]):
        tower = checkpoint.description.experiment.build_text()
    if tower is None:
        raise ConfigError(
            f"{checkpoint.path}: it was trained without text, so that it cannot be asked in words; pretrain with "
            "text=, texts= and the loss TextContrast, see docs/text.md"
        )
    tower.load_trained(checkpoint.state, TOWER)
    return tower.eval()


@torch.no_grad()
def window_vectors(checkpoint: Checkpoint, windows: EvaluatedWindows) -> dict[str, Tensor]:
    """Return the unit vectors of windows that text is compared with, [N, D]: of `imu`, and of `video` if there is one.

    Retrieval between IMU and video may compare other vectors: those of tokens.
    """
    model = checkpoint.build_model()
    found = {"imu": model.project_imu(windows.features["imu"])}
    if windows.has_video:
        found["video"] = model.project_video(windows.features["video"])
    return found
