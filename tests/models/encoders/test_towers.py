"""ResNet1D and MotionTower: what they take, what their features are, and what they are robust to."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
from typing import Literal

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec, MotionSpec, VideoSpec
from revalexo_clip.models.encoders import MotionTower, ResNet1D
from revalexo_clip.models.encoders.motion_tower import LIMIT, SCALE, motion_signals
from revalexo_clip.models.encoders.readout import AttentionPooling, Readout
from revalexo_clip.models.encoders.temporal import TemporalBody, factors
from revalexo_clip.models.sequence import SequenceNet

IMU = ImuSpec(tuple(f"acc_{axis}" for axis in "xyz"), ("m/s^2",) * 3, rate=60.0, window=2.0)
VIDEO = VideoSpec(frames=0, crop=16, short_side=16, window=2.0, motion=MotionSpec(30.0, 2.0, rows=2, columns=3))
NO_FRAMES = torch.zeros(4, 3, 0, 0, 0)


def motion(count: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shift_BMYX2 = 0.3 * torch.randn(count, 60, 2, 3, 2, generator=generator)
    return torch.cat((shift_BMYX2, torch.rand(count, 60, 2, 3, 1, generator=generator)), dim=-1)


def imu_net(spec: ImuSpec = IMU, **fields: object) -> SequenceNet:
    return built(ResNet1D.model_validate({"width": 8} | fields), spec)


def video_net(spec: VideoSpec = VIDEO, **fields: object) -> SequenceNet:
    return built(MotionTower.model_validate({"width": 8} | fields), spec)


def built(encoder: ResNet1D | MotionTower, spec: ImuSpec | VideoSpec) -> SequenceNet:
    torch.manual_seed(0)
    net = encoder.build(spec, 5)  # type: ignore[arg-type]
    assert isinstance(net, SequenceNet)
    return net.eval()


def test_the_readout_is_mean_deviation_maximum_and_last_quarter() -> None:
    x_BWT = torch.randn(2, 3, 30)
    expected_BF = torch.cat(
        (x_BWT.mean(2), (x_BWT.var(2, correction=0) + 1e-6).sqrt(), x_BWT.max(2).values, x_BWT[..., 22:].mean(2)), 1
    )
    torch.testing.assert_close(Readout()(x_BWT), expected_BF)
    assert not list(Readout().parameters())


@pytest.mark.parametrize("readout", [Readout(), AttentionPooling(4, 2)])
@pytest.mark.parametrize("moments", [1, 2, 30])
def test_maps_that_do_not_change_have_finite_gradients(readout: nn.Module, moments: int) -> None:
    x_BWT = torch.ones(2, 4, moments, requires_grad=True)
    features_BF = readout(x_BWT)
    features_BF.sum().backward()
    assert x_BWT.grad is not None
    assert features_BF.isfinite().all()
    assert x_BWT.grad.isfinite().all()


@pytest.mark.parametrize(("stride", "expected"), [(1, (1, 1)), (2, (1, 2)), (4, (2, 2)), (6, (2, 3)), (7, (1, 7))])
def test_a_stride_is_divided_as_equally_as_possible(stride: int, expected: tuple[int, int]) -> None:
    assert factors(stride) == expected


@pytest.mark.parametrize(("rate", "window"), [(60.0, 2.0), (50.0, 2.0), (100.0, 1.99), (30.0, 2.0), (60.0, 0.5)])
def test_moments_are_the_centres_of_the_input_they_depend_on_at_any_rate(rate: float, window: float) -> None:
    net = imu_net(replace(IMU, rate=rate, window=window), depth=0)
    body = net.body
    assert isinstance(body, TemporalBody)
    imu_1CL = torch.zeros(1, 3, round(rate * window), requires_grad=True)
    maps_1WT = body.down(body.stem(imu_1CL))  # group norm between them looks at all of the window
    assert maps_1WT.shape[2] == len(net.time_T)
    centre = maps_1WT.shape[2] // 2
    (grad_1CL,) = torch.autograd.grad(maps_1WT[:, :, centre].sum(), imu_1CL)
    reached_L = grad_1CL.abs().sum(dim=(0, 1)).nonzero().float()
    assert float(reached_L.mean()) / rate == pytest.approx(float(net.time_T[centre]), abs=1e-5)


def test_features_have_the_size_of_the_readout_and_not_of_the_embedding() -> None:
    for readout, size in (("statistics", 32), ("attention", 16)):
        for embed_dim in (5, 50):
            encoder = ResNet1D(width=8, readout="statistics" if readout == "statistics" else "attention")
            assert encoder.feature_dim(embed_dim) == size
            assert encoder.build(IMU, embed_dim)(torch.randn(2, 120, 3)).shape == (2, size)


def test_features_of_a_window_do_not_depend_on_the_batch_not_even_in_training() -> None:
    net = imu_net(dropout=0.0).train()
    imu_BLC = torch.randn(3, 120, 3)
    torch.testing.assert_close(net(imu_BLC)[:1], net(imu_BLC[:1]), rtol=1e-5, atol=1e-5)
    assert not [part for part in net.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]


def test_features_tell_how_strongly_somebody_moves() -> None:
    net = imu_net()
    imu_BLC = torch.randn(4, 120, 3)
    with torch.no_grad():
        assert (net(3 * imu_BLC)[:, 8:16] > 1.5 * net(imu_BLC)[:, 8:16]).float().mean() > 0.7


@torch.no_grad()
def test_untrained_features_differ_between_windows_and_maps_are_of_the_order_of_their_input() -> None:
    for encoder, spec, inputs in (
        (ResNet1D(), IMU, (torch.randn(64, 120, 3),)),
        (MotionTower(), VIDEO, (torch.zeros(64, 3, 0, 0, 0), motion(64))),
    ):
        encoded = built(encoder, spec).encode(*inputs)
        assert (encoded.features_BF.std(dim=0) > 0.02).all()
        assert 0.3 < encoded.sequence_BTE.std() < 4


def test_motion_without_confidence_is_not_seen_and_outliers_are_limited() -> None:
    net = video_net()
    sure, unsure = motion(), motion()
    sure[..., 2] = 1.0
    unsure[:, :, 0, 0, 2] = 0.0
    wild = unsure.clone()
    wild[:, :, 0, 0, :2] = 1e6
    with torch.no_grad():
        assert torch.equal(net(NO_FRAMES, unsure), net(NO_FRAMES, wild))
        fast, faster = sure.clone(), sure.clone()
        fast[0, 3, 1, 1, 0], faster[0, 3, 1, 1, 0] = 2.0, 1e6
        assert torch.equal(net(NO_FRAMES, fast), net(NO_FRAMES, faster))


def test_signals_of_motion_are_scaled_and_keep_their_cells_apart() -> None:
    motion_BMYX3 = motion(1)
    signal_BCM = motion_signals(motion_BMYX3)
    assert signal_BCM.shape == (1, 18, 60)
    right, down, confidence = motion_BMYX3[0, 7, 1, 2]
    expected = (max(min(SCALE * float(right), LIMIT), -LIMIT), max(min(SCALE * float(down), LIMIT), -LIMIT), 1.0)
    torch.testing.assert_close(signal_BCM[0, 15:, 7], torch.tensor(expected) * confidence)


def test_windows_without_measured_motion_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no measured image motion; .* --set data\.motion="):
        video_net(replace(VIDEO, motion=None))


def test_a_window_shorter_than_two_moments_is_refused() -> None:
    with pytest.raises(ConfigError, match="ResNet1D: a window of 4 samples at 60 Hz is shorter than two moments"):
        imu_net(replace(IMU, window=4 / 60))


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"kernel": 4}, "odd"), ({"width": 6, "readout": "attention"}, "divisible by 4"), ({"color_width": 6}, "by 4")],
)
def test_sizes_that_do_not_fit_are_refused(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        MotionTower.model_validate(fields)


def with_frames(frames: int = 3, burst: int = 1) -> tuple[VideoSpec, Tensor]:
    spec = replace(VIDEO, frames=frames, burst=burst)
    return spec, torch.randn(4, 3, frames * burst, 16, 16, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("readout", ["statistics", "attention"])
@pytest.mark.parametrize("burst", [1, 2])
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(("color", "joined"), [("sequence", 4), ("pooled", 0)])
def test_frames_join_the_features_and_if_wanted_the_sequence(
    color: str, joined: int, frames: int, burst: int, readout: str
) -> None:
    spec, video_B3THW = with_frames(frames, burst)
    fields = {"color": color, "color_width": 4, "readout": readout}
    net = video_net(spec, **fields)
    encoded, other = (net.encode(each, motion()) for each in (video_B3THW, video_B3THW.flip(0)))
    assert encoded.features_BF.shape[1] == MotionTower.model_validate({"width": 8} | fields).feature_dim(5)
    assert encoded.sequence_BTE.shape == (4, 30, 8 + joined)
    assert net.sequence_dim == 8 + joined
    assert not torch.equal(encoded.features_BF, other.features_BF)
    assert torch.equal(encoded.sequence_BTE, other.sequence_BTE) is (color == "pooled")
    torch.autograd.backward(encoded.features_BF.square().sum())
    assert [name for name, weight in net.named_parameters() if weight.grad is None] == []


@torch.no_grad()
def test_features_of_frames_are_interpolated_in_time() -> None:
    spec, video_B3THW = with_frames(3)
    net = video_net(spec, color="sequence", color_width=4)
    color_BVK = net.get_submodule("color")(video_B3THW)
    sequence_BTV = net.encode(video_B3THW, motion()).sequence_BTE[..., 8:]
    for place, time in enumerate(net.time_T.tolist()):
        first = min(math.floor(time), 1)
        weight = time - first
        expected_BV = (1 - weight) * color_BVK[..., first] + weight * color_BVK[..., first + 1]
        torch.testing.assert_close(sequence_BTV[:, place], expected_BV, rtol=1e-4, atol=1e-5)


def test_without_color_frames_are_ignored() -> None:
    spec, video_B3THW = with_frames()
    net = video_net(spec)
    assert torch.equal(net(video_B3THW, motion()), net(NO_FRAMES, motion()))


def test_frames_that_color_cannot_take_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"MotionTower\.color: the windows have no frames"):
        video_net(color="pooled")
    with pytest.raises(ConfigError, match=r"one or two frames a moment, not 3"):
        video_net(with_frames(burst=3)[0], color="pooled")


@pytest.mark.parametrize("color", [None, "sequence", "pooled"])
def test_what_an_encoder_says_it_takes_is_what_it_takes(color: Literal["sequence", "pooled"] | None) -> None:
    encoder = MotionTower(color=color)
    assert encoder.takes_motion
    assert encoder.takes_frames is (color is not None)


@pytest.mark.long
def test_a_compiled_network_gives_the_same_sequence_and_its_copies_are_not_compiled() -> None:
    net = imu_net(dropout=0.0)
    imu_BLC = torch.randn(3, 120, 3)
    expected = net.encode(imu_BLC)
    net.compile(backend="eager")
    torch.testing.assert_close(tuple(net.sequence(imu_BLC)), tuple(expected))
    torch.testing.assert_close(net(imu_BLC), expected.features_BF)
    copied = deepcopy(net)
    with torch.no_grad():
        for weight in copied.parameters():
            weight.zero_()
    assert copied.sequence(imu_BLC).sequence_BTE.abs().max() == 0
    torch.testing.assert_close(net.sequence(imu_BLC).features_BF, expected.features_BF)
