"""Pretraining on narrated takes: windows without labels, around narrations, from loading to retrieval."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.made_ego4d import LATE, NO_GYRO, write_ego4d
from torch import Tensor, nn

from revalexo_clip import (
    AttentionPooled,
    Dataset,
    Ego4D,
    ImuEncoder,
    Optimizer,
    PretrainExperiment,
    TrainerConfig,
    VideoEncoder,
    VideoSpec,
    evaluate,
    pretrain,
)
from revalexo_clip.evaluation.protocol import Evaluation
from revalexo_clip.optim import AdamW
from revalexo_clip.runs.checkpoint import load_checkpoint
from revalexo_clip.runs.folder import find_checkpoint


class MeanColor(VideoEncoder):
    """The mean colour of each frame, mapped linearly."""

    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        return MeanColorNet(3 * spec.images, embed_dim)


class MeanColorNet(nn.Module):
    def __init__(self, colors: int, embed_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(colors, embed_dim)

    def forward(self, video_B3THW: Tensor) -> Tensor:
        features_BD: Tensor = self.linear(video_B3THW.mean(dim=(3, 4)).flatten(1))
        return features_BD


class Narrated(PretrainExperiment):
    imu: ImuEncoder = AttentionPooled(width=4)
    video: VideoEncoder | None = MeanColor()
    embed_dim: int = 8
    batch_size: int = 6
    optim: Optimizer = AdamW(lr=1e-3)
    trainer: TrainerConfig = TrainerConfig(max_epochs=1, devices=1, accelerator="cpu")


def experiment(root: Path, **fields: object) -> Narrated:
    data: Dataset = Ego4D.model_validate(
        {
            "root": root,
            "train_subjects": ("participant_1", NO_GYRO),
            "val_subjects": ("participant_12",),
            "test_subjects": (LATE,),
            "window": 2.5,
            "frames": 2,
            "crop": 32,
            "short_side": 32,
            "jitter": 0.5,
            "workers": 1,
        }
        | fields
    )
    return Narrated(data=data)


@pytest.mark.slow
def test_a_run_on_narrated_takes_is_trained_and_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_ego4d(tmp_path / "ego4d")
    run = pretrain(experiment(tmp_path / "ego4d"))
    described = load_checkpoint(find_checkpoint(run)).description
    assert described.subjects == {"train": ("participant_1",), "val": ("participant_12",)}
    assert described.activities == ()
    assert any(NO_GYRO in name for name in described.excluded["train"])
    log = (run / "log.txt").read_text()
    assert "IMU rows are left out" in log
    found = evaluate(run)
    assert isinstance(found, Evaluation)
    assert found.metrics["retrieval"]
