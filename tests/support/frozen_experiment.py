"""The small experiment with a frozen video encoder whose features are kept. Its IMU encoder drops features in training.

Tests run this very file; nothing imports it.
"""

from __future__ import annotations

from revalexo_clip import FeatureCache, ImuEncoder, TrainerConfig, VideoEncoder
from support.frozen_towers import FrozenSquares
from support.interrupted_experiment import Interrupted
from support.small_experiment import Small


class SmallFrozen(Small):
    imu: ImuEncoder = Interrupted()
    video: VideoEncoder = FrozenSquares()
    feature_cache: FeatureCache | None = FeatureCache()
    trainer: TrainerConfig = TrainerConfig(max_epochs=2, accelerator="cpu", log_every=1, checkpoint_minutes=None)
