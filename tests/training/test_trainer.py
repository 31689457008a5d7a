from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.small_run import train
from support.small_training import logged, small

from revalexo_clip.config.base import TrainerConfig
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.training.trainer import resolved_precision

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")


ANY, GPU, CPU = TrainerConfig(), TrainerConfig(accelerator="gpu"), TrainerConfig(accelerator="cpu")


@pytest.mark.parametrize(
    ("config", "cuda", "bf16", "expected"),
    [
        (ANY, True, True, "bf16-mixed"),
        (GPU, True, False, "16-mixed"),
        (ANY, False, False, "32-true"),
        (GPU, False, False, "32-true"),  # Apple's, or the error that there is none
        (CPU, True, True, "32-true"),
        (TrainerConfig(precision="32"), True, True, "32"),
        (TrainerConfig(precision="16-mixed"), True, True, "16-mixed"),
        (TrainerConfig(precision="bf16-mixed", accelerator="cpu"), False, False, "bf16-mixed"),
    ],
)
def test_auto_takes_what_the_device_has_and_what_is_named_stays(
    monkeypatch: pytest.MonkeyPatch, config: TrainerConfig, cuda: bool, bf16: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    assert resolved_precision(config) == expected


def test_bf16_trains_on_a_cpu_and_stays_near_32_bit(distinct: Path, tmp_path: Path) -> None:
    settings = ("trainer.max_epochs=6", "batch_size=20", "optim.lr=0.01")
    whole = logged(train(small(distinct, *settings), tmp_path), "train/loss_step")
    half = logged(train(small(distinct, "trainer.precision=bf16-mixed", *settings), tmp_path), "train/loss_step")
    assert half != whole
    assert half == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.precision=16-mixed", r"trainer\.precision: 16-mixed needs a GPU"),
        ("trainer.sync_batchnorm=true", r"trainer\.sync_batchnorm: .* on GPUs only"),
    ],
)
def test_what_a_cpu_cannot_do_is_refused_before_anything_is_written(
    distinct: Path, tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(small(distinct, override), tmp_path)
    assert list(tmp_path.iterdir()) == []
