from __future__ import annotations

from pathlib import Path

import pytest
from support.small_finetuning import finetuning

from revalexo_clip.augment import ImuAugmentations
from revalexo_clip.finetuning.build import build_finetune_setup


@pytest.mark.parametrize("standardize", [True, False])
def test_augmentations_know_the_statistics_that_the_encoder_standardises_by(distinct: Path, standardize: bool) -> None:
    new = {"imu": {"type": "DeepConvLSTM", "hidden": 4}, "embed_dim": 4, "standardize": standardize}
    dropout = {"imu_augment": [{"type": "SensorDropout", "rate": 1.0, "p": 1.0}]}
    setup = build_finetune_setup(finetuning(distinct, None, **new, **dropout))
    augmentation = setup.module.augmentation
    assert isinstance(augmentation, ImuAugmentations)
    assert setup.description.imu_spec is not None
    assert augmentation.imu_spec == setup.description.imu_spec
    assert (augmentation.imu_spec.mean is not None) == standardize
