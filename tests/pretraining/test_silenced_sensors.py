from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.small_training import small

from revalexo_clip.augment import Augmentation
from revalexo_clip.pretraining.build import build_setup
from revalexo_clip.training.drawn_batches import FetchAndDraw, TrainingBatch, collate_training


@pytest.mark.parametrize("standardize", [True, False])
def test_a_silenced_sensor_is_zero_in_what_the_encoder_gets(root: Path, standardize: bool) -> None:
    dropout = '[{"type": "GaussianNoise"}, {"type": "SensorDropout", "rate": 1.0, "p": 1.0}]'
    setup = build_setup(small(root, f"imu_augment={dropout}", f"standardize={str(standardize).lower()}"))
    augmentation = setup.module.augmentation
    assert isinstance(augmentation, Augmentation)
    fetch = FetchAndDraw(setup.train, augmentation, seed=0)
    batch = collate_training([fetch[0, index] for index in range(6)])
    assert isinstance(batch, TrainingBatch)
    windows = batch.windows
    result = augmentation.apply(windows.imu_BLC, windows.video_BTHWC, windows.motion_BMYX3, batch.draws)
    silent_BC = (setup.model.samples(result.imu_BLC) == 0).all(1)
    assert torch.equal(silent_BC, batch.draws.imu[1][:, 0] == 0)
    assert silent_BC.any(1).all()
    assert not silent_BC.all(1).any()
