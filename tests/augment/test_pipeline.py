from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from support.augment_specs import IMU, VIDEO, applied, augmented, generators, imu_windows, sampled, video_windows
from torch import Tensor

from revalexo_clip.augment import (
    Augmentation,
    ChannelDropout,
    ColorJitter,
    Draws,
    GaussianNoise,
    Grayscale,
    HorizontalFlip,
    ImuAugmentation,
    JointAugmentation,
    MagnitudeWarp,
    Mirror,
    PerWindowImu,
    PerWindowVideo,
    RandomErasing,
    RandomResizedCrop,
    Scale,
    SensorRotation,
    TimeWarp,
    VideoAugmentation,
    View,
    stack,
)
from revalexo_clip.augment.base import Draw, Pixels
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec, VideoSpec
from revalexo_clip.data import Dataset, RevalExo
from revalexo_clip.models.dual_encoder import FrameNormalization
from revalexo_clip.models.encoders import X3D, DeepConvLSTM, ImuEncoder, VideoEncoder

EVERYTHING_IMU: tuple[ImuAugmentation, ...] = (
    *(SensorRotation(), Scale(p=1), MagnitudeWarp(p=1), TimeWarp(p=1), ChannelDropout(p=1), GaussianNoise(p=1)),
)
EVERYTHING_VIDEO: tuple[VideoAugmentation, ...] = (
    *(ColorJitter(p=1), Grayscale(), RandomResizedCrop(), HorizontalFlip(), RandomErasing(p=1)),
)


def pipeline(
    imu: tuple[ImuAugmentation, ...] = (),
    video: tuple[VideoAugmentation, ...] = (),
    joint: tuple[JointAugmentation, ...] = (),
) -> Augmentation:
    return Augmentation(imu, video, joint, imu_spec=IMU, video_spec=VIDEO)


class Inverted(VideoAugmentation):
    """Invert colours; in tests only."""

    def sample(self, rng: np.random.Generator, spec: VideoSpec, view: View) -> Draw:
        assert (view.height, view.width) == (spec.crop, spec.crop)
        return np.array(rng.choice([-1.0, 1.0]), dtype=np.float32)

    def apply(self, video_B3THW: Tensor, drawn: Tensor) -> Tensor:
        return video_B3THW * drawn.view(-1, 1, 1, 1, 1)


class Doubled(PerWindowImu):
    """Double random windows; in tests only."""

    def __call__(self, imu_LC: Draw, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        return imu_LC * np.float32(rng.integers(1, 3))


class Halved(PerWindowImu):
    """Return another shape; in tests only."""

    def __call__(self, imu_LC: Draw, rng: np.random.Generator, spec: ImuSpec) -> Draw:
        return imu_LC[::2]


class Negative(PerWindowVideo):
    """Return the frames as a negative; in tests only."""

    def __call__(self, video_THWC: Pixels, rng: np.random.Generator, spec: VideoSpec) -> Pixels:
        return 255 - video_THWC


class WithoutAugmentation(PretrainExperiment):
    """An experiment without augmentations."""

    data: Dataset = RevalExo(root=Path("data"), train_subjects=("01",), val_subjects=("02",))
    imu: ImuEncoder = DeepConvLSTM()
    video: VideoEncoder = X3D()


def test_without_augmentation_frames_are_cropped_in_the_centre_and_normalised() -> None:
    augmentation = pipeline()
    imu_BLC, video_BTHWC = imu_windows(2), video_windows(2)
    same_BLC, frames_BTHWC, draws = sampled(augmentation, imu_BLC, video_BTHWC)
    assert torch.equal(frames_BTHWC, video_BTHWC[:, :, 2:26, 6:30])
    _, video_B3THW = applied(augmentation, same_BLC, frames_BTHWC, draws)
    assert torch.equal(same_BLC, imu_BLC)
    torch.testing.assert_close(video_B3THW, FrameNormalization(VIDEO)(frames_BTHWC), rtol=1e-5, atol=1e-5)


def test_a_crop_selects_from_whole_frames_and_other_augmentations_from_the_centre() -> None:
    imu_LC, video_THWC = imu_windows(1)[0].numpy(), video_windows(1)[0].numpy()
    framed_THWC = video_THWC.copy()
    framed_THWC[:, 2:26, 6:30] = 0
    for video, reaches_out in (((HorizontalFlip(),), False), ((HorizontalFlip(), RandomResizedCrop()), True)):
        _, shown_THWC, _ = pipeline(video=video).sample(np.random.default_rng(0), imu_LC, framed_THWC)
        assert shown_THWC.shape == (3, 24, 24, 3)
        assert bool(shown_THWC.any()) == reaches_out


def test_the_pipeline_equals_its_augmentations_in_order() -> None:
    augmentation = pipeline(EVERYTHING_IMU, EVERYTHING_VIDEO, (Mirror(),))
    imu_BLC, video_BTHWC, draws = sampled(augmentation, imu_windows(6), video_windows(6))
    out_BLC, out_B3THW = applied(augmentation, imu_BLC, video_BTHWC, draws)
    expected_BLC, _ = Mirror().apply(imu_BLC, out_B3THW, draws.joint[0])
    for one, params in zip(EVERYTHING_IMU, draws.imu, strict=True):
        expected_BLC = one.apply(expected_BLC, params)
    assert torch.equal(out_BLC, expected_BLC)
    fused = pipeline(video=EVERYTHING_VIDEO[:-1], joint=(Mirror(),))
    _, before_B3THW = applied(fused, imu_BLC, video_BTHWC, draws._replace(imu=(), video=()))
    assert torch.equal(out_B3THW, RandomErasing().apply(before_B3THW, draws.video[0]))
    assert out_B3THW.isfinite().all()
    assert len(draws.video) == 1


def test_the_result_of_a_window_does_not_depend_on_its_batch() -> None:
    augmentation = pipeline(EVERYTHING_IMU, EVERYTHING_VIDEO, (Mirror(),))
    imu_BLC, video_BTHWC = imu_windows(7), video_windows(7)
    together = augmented(augmentation, imu_BLC, video_BTHWC)
    order = [5, 0, 3]
    some = [augmentation.sample(generators(7)[row], imu_BLC[row].numpy(), video_BTHWC[row].numpy()) for row in order]
    imus, videos, draws = zip(*some, strict=True)
    apart = applied(augmentation, torch.from_numpy(np.stack(imus)), torch.from_numpy(np.stack(videos)), stack(draws))
    for left, right in zip(together, apart, strict=True):
        assert torch.equal(left[order], right)
    assert (together[1][1:] != together[1][:-1]).flatten(1).any(1).all()


def test_views_and_colours_also_work_on_resampled_frames() -> None:
    augmentation = pipeline(video=(Inverted(), HorizontalFlip(p=1), Grayscale(p=1)))
    assert len(augmentation.video) == 3
    windows = sampled(augmentation, imu_windows(4), video_windows(4, height=24, width=24))
    _, out_B3THW = applied(augmentation, *windows)
    inverted = FrameNormalization(VIDEO)(windows[1]) * windows[2].video[0].view(-1, 1, 1, 1, 1)
    gray = pipeline(video=(Grayscale(p=1),)).video_spec
    rgb = inverted.flip(-1).movedim(1, -1) * torch.tensor(gray.std) + torch.tensor(gray.mean)
    luma = (rgb * torch.tensor([0.299, 0.587, 0.114])).sum(-1, keepdim=True)
    expected = ((luma - torch.tensor(gray.mean)) / torch.tensor(gray.std)).movedim(-1, 1)
    torch.testing.assert_close(out_B3THW, expected, rtol=1e-4, atol=1e-4)


def test_plain_functions_of_a_window_run_in_the_loader() -> None:
    augmentation = pipeline(imu=(Doubled(), Scale()), video=(Negative(),))
    imu_LC, video_THWC = imu_windows(1)[0].numpy(), video_windows(1)[0].numpy()
    factors = set()
    for rng in generators(20):
        doubled_LC, negative_THWC, draws = augmentation.sample(rng, imu_LC, video_THWC)
        factors.add(float(doubled_LC[0, 0] / imu_LC[0, 0]))
        np.testing.assert_array_equal(negative_THWC, 255 - video_THWC[:, 2:26, 6:30])
        assert (len(draws.imu), len(draws.video)) == (1, 0)
    assert factors == {1.0, 2.0}
    with pytest.raises(ValueError, match=r"Halved must return .* float32 \[120, 42\], not float32 \[60, 42\]"):
        pipeline(imu=(Halved(),)).sample(np.random.default_rng(0), imu_LC, video_THWC)


def test_functions_of_a_window_must_come_first() -> None:
    assert WithoutAugmentation(imu_augment=(Doubled(), Doubled(), Scale())).imu_augment[0] == Doubled()
    with pytest.raises(ValueError, match=r"imu_augment: Doubled runs where windows are loaded.* before Scale"):
        WithoutAugmentation(imu_augment=(Scale(), Doubled()))
    with pytest.raises(ValueError, match=r"video_augment: Negative runs .* before Grayscale"):
        WithoutAugmentation(video_augment=(Grayscale(), Negative()))


def test_unsupported_windows_are_an_error_before_anything_is_loaded() -> None:
    spec = ImuSpec(("acc_Pelvis_x", "acc_Pelvis_y"), ("m/s^2",) * 2, 60.0, 2.0)
    with pytest.raises(ConfigError, match="lacks acc_Pelvis_z"):
        Augmentation((SensorRotation(p=0.01),), (), (), imu_spec=spec, video_spec=VIDEO)


def test_draws_can_be_sent_between_processes() -> None:
    augmentation = pipeline(EVERYTHING_IMU, EVERYTHING_VIDEO, (Mirror(),))
    _, _, draws = sampled(augmentation, imu_windows(4), video_windows(4))
    assert len(draws.color) == 4
    for travelled in (pickle.loads(pickle.dumps(draws)), move_data_to_device(draws, torch.device("cpu"))):
        assert isinstance(travelled, Draws)
        assert torch.equal(travelled.color, draws.color)
        for field in ("joint", "imu", "video"):
            pairs = zip(getattr(travelled, field), getattr(draws, field), strict=True)
            assert all(torch.equal(one, other) for one, other in pairs)


def test_autocast_does_not_change_the_precision() -> None:
    augmentation = pipeline(EVERYTHING_IMU, (*EVERYTHING_VIDEO, ColorJitter(p=1)), (Mirror(),))
    windows = sampled(augmentation, imu_windows(3), video_windows(3))
    exact = applied(augmentation, *windows)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = applied(augmentation, *windows)
    for left, right in zip(exact, under_autocast, strict=True):
        assert torch.equal(left, right)
        assert right.dtype == torch.float32
