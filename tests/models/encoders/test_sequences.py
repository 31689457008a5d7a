"""Every encoder of the package: features of moments lie at the time of what is seen in them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec, MotionSpec, VideoSpec
from revalexo_clip.models.dual_encoder import video_inputs
from revalexo_clip.models.encoders import (
    X3D,
    AnySensor,
    AttentionPooled,
    DeepConvLSTM,
    ImuEncoder,
    MotionTower,
    MViT,
    PatchTransformer,
    ResNet1D,
    SpectralAttention,
    StackedConvGRU,
    VideoEncoder,
)
from revalexo_clip.models.sequence import SequenceNet

CHANNELS = tuple(f"{kind}_Foot_{axis}" for kind in ("acc", "gyro") for axis in "xyz")
IMU = ImuSpec(CHANNELS, ("m/s^2",) * 3 + ("rad/s",) * 3, rate=60.0, window=2.0)
MOTION = MotionSpec(30.0, 2.0, rows=3, columns=4)
FRAMES = 16
VIDEO = VideoSpec(frames=FRAMES, crop=32, short_side=32, window=2.0, motion=MOTION)

IMU_ENCODERS: dict[str, ImuEncoder] = {
    "DeepConvLSTM": DeepConvLSTM(maps=8, hidden=64),
    "SpectralAttention": SpectralAttention(width=32),
    "AnySensor": AnySensor(width=32),
    "ResNet1D": ResNet1D(width=32),
    "StackedConvGRU": StackedConvGRU(pool=1, hidden=64),
    "AttentionPooled": AttentionPooled(),
    "PatchTransformer": PatchTransformer(width=32),
}
VIDEO_ENCODERS: dict[str, VideoEncoder] = {
    "X3D": X3D(weights=None, average_shortcuts=True),
    "X3D, keep_time": X3D(weights=None, average_shortcuts=True, keep_time=True),
    "MViT": MViT(weights=None),
    "MotionTower": MotionTower(width=32),
}


def sequence_net(encoder: ImuEncoder | VideoEncoder, video: VideoSpec = VIDEO) -> SequenceNet:
    torch.manual_seed(0)
    net = encoder.build(IMU, 12) if isinstance(encoder, ImuEncoder) else encoder.build(video, 12)
    assert isinstance(net, SequenceNet)
    return net.eval()


def imu_windows(event: float | None = None) -> Tensor:
    """Return windows of noise, with an impulse of a twentieth of a second at the time of an event."""
    imu_BLC = 0.1 * torch.randn(4, IMU.samples, len(CHANNELS), generator=torch.Generator().manual_seed(1))
    imu_BLC[..., 2] += 9.8
    if event is not None:
        imu_BLC[:, (torch.arange(IMU.samples) / IMU.rate - event).abs() < 0.025] += 3.0
    return imu_BLC


def video_windows(event: float | None = None) -> tuple[Tensor, Tensor]:
    """Return frames and motion of windows, with other frames, and other motion, at the time of an event."""
    generator = torch.Generator().manual_seed(1)
    video_B3THW = torch.randn(2, 3, 1, 32, 32, generator=generator).repeat(1, 1, FRAMES, 1, 1)
    motion_BMYX3 = torch.rand(2, MOTION.moments, 3, 4, 3, generator=generator) * 0.2
    motion_BMYX3[..., 2] = 0.8
    if event is not None:
        frame = int((torch.linspace(0, 2, FRAMES) - event).abs().argmin())
        video_B3THW[:, :, frame] = torch.randn(2, 3, 32, 32, generator=generator)
        moment_M = (torch.arange(MOTION.moments) + 0.5) / MOTION.rate
        motion_BMYX3[:, (moment_M - event).abs() < 0.025, ..., :2] += 1.0
    return video_B3THW, motion_BMYX3


@torch.no_grad()
def time_of_change(net: SequenceNet, before: tuple[Tensor, ...], after: tuple[Tensor, ...]) -> float:
    """Return the time around which a sequence changes most.

    It is a weighted mean, because an untrained convolution over three frames may weight the first or last of them most.
    What changes at all moments alike, as in a transformer, does not count.
    """
    changed_BTE = net.encode(*after).sequence_BTE - net.encode(*before).sequence_BTE
    change_T = changed_BTE.square().sum(dim=(0, 2))
    weight_T = (change_T - change_T.min()).square()
    return float((weight_T * net.time_T).sum() / weight_T.sum())


# A recurrent network notices an event with its newest input, as soon as it enters the receptive field (0.68 s of the
# LSTM), and remembers it.
TOLERANCE = {"DeepConvLSTM": 0.35, "StackedConvGRU": 0.2}


@pytest.mark.parametrize("event", [0.5, 1.0, 1.4])
@pytest.mark.parametrize("name", IMU_ENCODERS)
def test_an_event_in_the_imu_is_found_at_its_time(name: str, event: float) -> None:
    net = sequence_net(IMU_ENCODERS[name])
    found = time_of_change(net, (imu_windows(),), (imu_windows(event),))
    assert abs(found - event) <= TOLERANCE.get(name, 0.1)


@pytest.mark.long
@pytest.mark.parametrize("event", [0.4, 8 / 15, 1.0, 1.6])
@pytest.mark.parametrize("name", VIDEO_ENCODERS)
def test_an_event_in_the_video_is_found_at_its_time(name: str, event: float) -> None:
    net = sequence_net(VIDEO_ENCODERS[name])
    before, after = (video_inputs(net, *video_windows(at)) for at in (None, event))
    found = time_of_change(net, before, after)
    spacing = float(net.time_T.diff().max())
    assert abs(found - event) <= 0.75 * spacing + 0.02


@pytest.mark.parametrize("encoder", [*IMU_ENCODERS.values(), *VIDEO_ENCODERS.values()])
@torch.no_grad()
def test_moments_are_inside_the_window_and_features_are_those_of_the_module(
    encoder: ImuEncoder | VideoEncoder,
) -> None:
    net = sequence_net(encoder)
    inputs = (imu_windows(),) if isinstance(encoder, ImuEncoder) else video_inputs(net, *video_windows())
    encoded = net.encode(*inputs)
    assert encoded.sequence_BTE.shape[1:] == (len(net.time_T), net.sequence_dim)
    assert encoded.features_BF.shape[1] == encoder.feature_dim(12)
    assert torch.equal(net(*inputs), encoded.features_BF)
    assert (net.time_T.diff() > 0).all()
    assert net.time_T[0] >= 0
    assert net.time_T[-1] <= 2
    assert not [name for name in net.state_dict() if "time" in name], "moments are derived from the input's format"


def test_the_steps_of_a_deep_conv_lstm_are_centred_on_its_convolutions() -> None:
    net = sequence_net(DeepConvLSTM(maps=2, hidden=2))
    torch.testing.assert_close(net.time_T, torch.arange(20, 100) / 60)


@torch.no_grad()
def test_the_outputs_of_a_deep_conv_lstm_do_not_depend_on_later_samples() -> None:
    net = sequence_net(DeepConvLSTM(maps=4, hidden=8))
    before, after = (net.encode(windows).sequence_BTE for windows in (imu_windows(), imu_windows(1.5)))
    seen_T = (before != after).flatten(2).any(dim=2)[0]
    assert not seen_T[net.time_T < 1.5 - 0.025 - 20 / 60].any()


@pytest.mark.parametrize("samples", [117, 118, 119, 120, 121, 128])
@torch.no_grad()
def test_spectral_attention_has_as_many_times_as_moments(samples: int) -> None:
    spec = ImuSpec(CHANNELS, IMU.units, rate=60.0, window=samples / 60)
    for step in (0.05, 0.13, 0.2):
        net = SpectralAttention(width=8, step=step).build(spec, 4)
        assert isinstance(net, SequenceNet)
        assert net.encode(torch.randn(2, samples, 6)).sequence_BTE.shape[1] == len(net.time_T)


@pytest.mark.long
def test_frames_of_a_burst_count_as_one_moment() -> None:
    spec = VideoSpec(frames=4, crop=32, short_side=32, window=2.0, burst=2)
    for encoder in (X3D(weights=None), X3D(weights=None, keep_time=True), MViT(weights=None)):
        net = sequence_net(encoder, spec)
        torch.testing.assert_close(net.time_T, torch.linspace(0, 2, 4))
        with torch.no_grad():
            assert net.encode(torch.randn(2, 3, 8, 32, 32)).sequence_BTE.shape[1] == 4


@pytest.mark.parametrize("encoder", [X3D(weights=None), MViT(weights=None)])
def test_an_encoder_of_frames_refuses_windows_without_them(encoder: VideoEncoder) -> None:
    spec = VideoSpec(frames=0, crop=32, short_side=32, window=2.0)
    with pytest.raises(ConfigError, match=f"{type(encoder).__name__}: the windows have no frames; --set data.frames"):
        encoder.build(spec, 8)
