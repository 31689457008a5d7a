"""Vectors of the moments that have frames, and the networks that give them."""

from __future__ import annotations

import pytest
import torch

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec, MotionSpec, VideoSpec
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.models.encoders import DeepConvLSTM, MotionTower, ResNet1D
from revalexo_clip.models.encoders.resnet1d import ResNet1DNet, SharedStem
from revalexo_clip.models.frame_tokens import AroundFrames, FrameTokens, frame_heads
from revalexo_clip.models.sequence import Encoded, SequenceNet

SEGMENTS = ("Pelvis", "Left_Foot", "Right_Foot")
CHANNELS = tuple(f"{kind}_{segment}_{axis}" for kind in ("acc", "gyro") for segment in SEGMENTS for axis in "xyz")
IMU = ImuSpec(CHANNELS, ("m/s^2",) * 9 + ("rad/s",) * 9, rate=60.0, window=2.0)
VIDEO = VideoSpec(frames=5, crop=32, short_side=32, window=2.0, motion=MotionSpec(30.0, 2.0, 3, 4))
TOWER = MotionTower(width=16, color="scene", color_width=8)


def model() -> DualEncoder:
    torch.manual_seed(0)
    imu = ResNet1D(width=16)
    return DualEncoder(
        imu.build(IMU, 12),
        TOWER.build(VIDEO, 12),
        embed_dim=12,
        imu_spec=IMU,
        video_spec=VIDEO,
        feature_dims={"imu": imu.feature_dim(12), "video": TOWER.feature_dim(12)},
        frame_tokens=FrameTokens(dim=6),
    ).eval()


def video_input(batch: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(batch, 3, 5, 32, 32), torch.randn(batch, 60, 3, 4, 3).abs().clamp(max=1)


@torch.no_grad()
def test_each_frame_has_a_unit_vector_that_depends_on_that_frame_alone() -> None:
    net, (frames, motion) = model(), video_input()
    found = net.encode_frames(frames, motion).frames_BE
    assert found is not None
    assert found.shape == (3, 5 * 6)
    torch.testing.assert_close(found.view(3, 5, 6).norm(dim=2), torch.ones(3, 5))
    changed = frames.clone()
    changed[:, :, 2] += 1
    other = net.encode_frames(changed, motion * 0).frames_BE
    assert other is not None
    differs = (found - other).view(3, 5, 6).abs().amax(dim=(0, 2)) > 1e-4
    assert differs.tolist() == [False, False, True, False, False], "motion is not in it either"


@torch.no_grad()
def test_the_movement_around_a_frame_is_what_is_near_it() -> None:
    imu = ResNet1D(width=8).build(IMU, 4)
    assert isinstance(imu, SequenceNet)
    head = AroundFrames(FrameTokens(reach=0.2), 8, imu.time_T, (0.0, 1.0, 2.0))
    for time, own in zip((0.0, 1.0, 2.0), head.around, strict=True):
        near = imu.time_T[own]
        assert ((near - time).abs() <= 0.2 + 1e-6).all()
        assert len(near) == ((imu.time_T - time).abs() <= 0.2 + 1e-6).sum()


@torch.no_grad()
def test_a_scene_has_features_without_motion_and_tokens_with_it() -> None:
    net = TOWER.build(VIDEO, 12).eval()
    assert isinstance(net, SequenceNet)
    assert net.frame_times == (0.0, 0.5, 1.0, 1.5, 2.0)
    frames, motion = video_input()
    still, moving = net.encode(frames, motion * 0), net.encode(frames, motion)
    torch.testing.assert_close(still.features_BF, moving.features_BF)
    assert still.features_BF.shape[1] == TOWER.feature_dim(12) == 24
    assert not torch.allclose(still.sequence_BTE, moving.sequence_BTE)
    dark = net.encode(frames * 0, motion)
    torch.testing.assert_close(dark.sequence_BTE, moving.sequence_BTE)
    assert not torch.allclose(dark.features_BF, moving.features_BF)


def test_encoders_that_do_not_give_what_frames_need_are_refused() -> None:
    without = MotionTower(width=16).build(VIDEO, 12)
    with pytest.raises(ConfigError, match=r'MotionTower\(color="scene"\)'):
        frame_heads(FrameTokens(), ResNet1D().build(IMU, 12), without)
    with pytest.raises(ConfigError, match="imu encoder"):
        frame_heads(FrameTokens(), torch.nn.Identity(), TOWER.build(VIDEO, 12))
    assert frame_heads(FrameTokens(), DeepConvLSTM(maps=2, hidden=4).build(IMU, 12), TOWER.build(VIDEO, 12))


@torch.no_grad()
def test_sensors_share_their_first_convolution_and_differ_by_their_place() -> None:
    torch.manual_seed(0)
    net = ResNet1D(width=16, shared=4).build(IMU, 12).eval()
    assert isinstance(net, ResNet1DNet)
    stem = net.body.stem
    assert isinstance(stem, SharedStem)
    assert stem.convolution.weight.shape[:2] == (4, 6)
    imu_BLC = torch.randn(2, 120, 18)
    swapped = imu_BLC.clone()
    for kind in (0, 9):  # the left foot and the right foot change places
        swapped[:, :, kind + 3 : kind + 6], swapped[:, :, kind + 6 : kind + 9] = (
            imu_BLC[:, :, kind + 6 : kind + 9],
            imu_BLC[:, :, kind + 3 : kind + 6],
        )
    assert not torch.allclose(net(imu_BLC), net(swapped))
    stem.place.zero_()
    mix = stem.mix.weight.view(16, 3, 4)
    mix.copy_(mix.mean(dim=1, keepdim=True).expand_as(mix))
    torch.testing.assert_close(net(imu_BLC), net(swapped), rtol=1e-4, atol=1e-5)


def test_sensors_without_a_gyroscope_cannot_share() -> None:
    alone = ImuSpec(CHANNELS[:9], ("m/s^2",) * 9, rate=60.0, window=2.0)
    with pytest.raises(ConfigError, match=r"imu\.shared=0"):
        ResNet1D(shared=4).build(alone, 12)


@torch.no_grad()
def test_compiled_encoders_are_used_compiled_for_tokens_and_frames() -> None:
    net, (frames, motion) = model(), video_input()
    used: list[str] = []
    for modality, encoder in (("imu", net.imu), ("video", net.video)):
        assert isinstance(encoder, SequenceNet)

        def compiled(*inputs: torch.Tensor, modality: str = modality, encoder: SequenceNet = encoder) -> Encoded:
            used.append(modality)
            return encoder.encode(*inputs)

        encoder._compiled = compiled
    net.encode_imu(torch.randn(3, 120, 18))
    net.encode_frames(frames, motion)
    assert used == ["imu", "video"]
