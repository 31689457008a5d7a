"""Pretraining on narrated takes: windows without labels, around narrations, from loading to retrieval."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.made_ego4d import LATE, NO_GYRO, write_ego4d
from support.small_training import logged
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
from revalexo_clip.config.loading import load_experiment
from revalexo_clip.evaluation.protocol import Evaluation
from revalexo_clip.evaluation.search import search
from revalexo_clip.evaluation.text import load_text
from revalexo_clip.optim import AdamW
from revalexo_clip.runs.checkpoint import load_checkpoint
from revalexo_clip.runs.folder import find_checkpoint

PUBLISHED = Path(__file__).parents[2] / "experiments" / "ego4d_imu2clip.py"


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


@pytest.mark.long
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


@pytest.mark.long
def test_the_published_configuration_aligns_imu_with_a_frozen_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers")
    from support.tiny_text_models import write_clip

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_ego4d(tmp_path / "ego4d")
    clip = str(write_clip(tmp_path / "clip"))
    data = {
        "root": tmp_path / "ego4d",
        "train_subjects": f"participant_1,{NO_GYRO}",
        "val_subjects": "participant_12",
        "test_subjects": LATE,
        "window": 2.5,
        "frames": 2,
        "crop": 32,
        "short_side": 32,
        "jitter": 0.5,
        "workers": 0,
    }
    settings = {
        **{f"data.{name}": value for name, value in data.items()},
        "video.model": clip,
        "text.model": clip,
        "imu.width": 4,
        "imu.hidden": 6,
        "embed_dim": 6,
        "batch_size": 6,
        "optim.lr": 1e-3,
        "trainer.max_epochs": 1,
        "trainer.devices": 1,
        "trainer.accelerator": "cpu",
    }
    run = pretrain(load_experiment(str(PUBLISHED), [f"{name}={value}" for name, value in settings.items()]))
    assert logged(run, "train/temperature/video") == pytest.approx([0.1], rel=1e-6)
    assert logged(run, "val/loss/text")[0] > 0
    saved = load_checkpoint(find_checkpoint(run))
    model, tower, plain = saved.build_model(), load_text(saved), transformers.CLIPModel.from_pretrained(clip).eval()
    frames_BTHWC = torch.randint(256, (1, 2, 32, 32, 3), dtype=torch.uint8)
    mean, std = torch.tensor([0.48, 0.46, 0.41]), torch.tensor([0.27, 0.26, 0.28])
    pixels_T3HW = ((frames_BTHWC[0] / 255 - mean) / std).permute(0, 3, 1, 2)
    tokens = torch.tensor([[2, 4, 5, 7, 8, 10, 11, 3]])
    with torch.no_grad():
        output = plain(input_ids=tokens, attention_mask=torch.ones_like(tokens), pixel_values=pixels_T3HW)
        image_TP, projected = plain.vision_model(pixel_values=pixels_T3HW).pooler_output, plain.visual_projection
        expected_P = nn.functional.normalize(projected(image_TP).mean(dim=0), dim=0)
        torch.testing.assert_close(model.embed_video(frames_BTHWC)[0], expected_P, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            tower.embed(["a person is walking up stairs"]), output.text_embeds, rtol=1e-4, atol=1e-5
        )
        assert model.encode_imu(torch.randn(1, 500, 6)).embedding_BD.shape == (1, 6)
    assert not any("head" in name for name in saved.state), "no projection heads"
    assert search("a person is walking", [LATE], ckpt=run).moments
