"""Augmentations that contradict each other, or what the loss compares."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import ValidationError
from support.augment_specs import IMU, VIDEO

from revalexo_clip import (
    FinetuneExperiment,
    GaussianNoise,
    HorizontalFlip,
    InfoNCE,
    Loss,
    Mirror,
    PretrainExperiment,
    RevalExo,
    SensorDropout,
    TimeWarp,
)
from revalexo_clip.config.pretraining import reads_of
from revalexo_clip.data import Dataset, Recordings
from revalexo_clip.losses import LossModule
from revalexo_clip.losses.base import Vector
from revalexo_clip.models.encoders import X3D, DeepConvLSTM, ImuEncoder, VideoEncoder

DATA = RevalExo(root=Path("data"), train_subjects=("01",), val_subjects=("02",))


class OfKind(InfoNCE):
    """InfoNCE of other vectors; in tests only."""

    kinds: tuple[Vector, Vector] = ("imu", "video")

    def build(self) -> LossModule:
        loss = super().build()
        loss.reads = self.kinds
        return loss


TOKENS = OfKind(kinds=("imu_tokens", "video_tokens"))
TWO_VIEWS = OfKind(kinds=("imu", "imu_second"))


class Experiment(PretrainExperiment):
    """An experiment without augmentations."""

    data: Dataset = DATA
    imu: ImuEncoder = DeepConvLSTM()
    video: VideoEncoder = X3D()


class Finetuning(FinetuneExperiment):
    """A finetuning of both encoders."""

    data: Recordings = DATA
    encoder: Path | None = Path("run")
    modality: Literal["imu", "video", "both"] = "both"


@pytest.mark.long
@pytest.mark.parametrize("kind", [Experiment, Finetuning])
def test_a_flip_of_the_video_and_a_mirror_of_both_are_refused_together(
    kind: type[Experiment | Finetuning],
) -> None:
    kind(video_augment=(HorizontalFlip(),))
    kind(joint_augment=(Mirror(),))
    with pytest.raises(ValidationError, match=r"HorizontalFlip mirrors the video alone, and Mirror .* Remove"):
        kind(video_augment=(HorizontalFlip(),), joint_augment=(Mirror(),))


def test_what_moves_imu_samples_in_time_is_refused_with_a_loss_on_tokens() -> None:
    assert reads_of(TOKENS) == {"imu_tokens", "video_tokens"}
    Experiment(imu_augment=(TimeWarp(),))
    Experiment(imu_augment=(GaussianNoise(),), joint_augment=(Mirror(),), loss=TOKENS)
    with pytest.raises(ValidationError, match=r"imu_augment: TimeWarp moves IMU samples in time and not the video"):
        Experiment(imu_augment=(GaussianNoise(), TimeWarp()), loss=TOKENS)


def test_a_flip_of_the_video_is_refused_with_a_loss_on_tokens() -> None:
    with pytest.raises(ValidationError, match=r"video_augment: HorizontalFlip mirrors .*; use Mirror"):
        Experiment(video_augment=(HorizontalFlip(),), loss=TOKENS)


@pytest.mark.parametrize("kind", [Experiment, Finetuning])
def test_silenced_sensors_stay_silent(kind: type[Experiment | Finetuning]) -> None:
    kind(imu_augment=(GaussianNoise(), SensorDropout(), SensorDropout(rate=0.1)))
    with pytest.raises(ValidationError, match=r"imu_augment: SensorDropout must come last"):
        kind(imu_augment=(SensorDropout(), GaussianNoise()))


@pytest.mark.parametrize(("loss", "second"), [(InfoNCE(), False), (TWO_VIEWS, True)])
def test_windows_have_a_second_view_if_the_loss_compares_it(loss: Loss, second: bool) -> None:
    experiment = Experiment(imu_augment=(GaussianNoise(),), loss=loss)
    assert experiment.build_augmentation(IMU, VIDEO).second_view is second
