"""StackedConvGRU, AttentionPooled and PatchTransformer: plain references; any channels, rate and length."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.encoders import AttentionPooled, ImuEncoder, PatchTransformer, StackedConvGRU
from revalexo_clip.models.encoders.attention_pooled import AttentionPooledNet
from revalexo_clip.models.encoders.channel_norm import ChannelNorm
from revalexo_clip.models.encoders.gru_over_maps import MeanOfParts
from revalexo_clip.models.encoders.patch_transformer import PatchTransformerNet
from revalexo_clip.models.encoders.stacked_conv_gru import StackedConvGRUNet, shortest_window
from revalexo_clip.models.layers import number_dropouts, one_step
from revalexo_clip.models.sequence import SequenceNet

HEAD = ImuSpec(tuple(f"{kind}_Head_{axis}" for kind in ("acc", "gyro") for axis in "xyz"), ("",) * 6, 60.0, 2.0)
EGO4D = replace(HEAD, rate=200.0, window=5.0)
ENCODERS: dict[str, ImuEncoder] = {
    "StackedConvGRU": StackedConvGRU(width=8, hidden=12),
    "AttentionPooled": AttentionPooled(width=8),
    "PatchTransformer": PatchTransformer(width=16, depth=2, dropout=0.0),
}

Floats = npt.NDArray[np.float64]


def windows(spec: ImuSpec = HEAD, count: int = 3) -> Tensor:
    shape = (count, spec.samples, len(spec.channels))
    return 2 + 3 * torch.randn(shape, generator=torch.Generator().manual_seed(0))


def built(encoder: ImuEncoder, spec: ImuSpec = HEAD) -> SequenceNet:
    """Build a network whose weights are all drawn, norms and biases included."""
    torch.manual_seed(0)
    net = encoder.build(spec, 5)
    assert isinstance(net, SequenceNet)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net.eval().double()


def weights(net: nn.Module) -> dict[str, Floats]:
    return {name: tensor.numpy().astype(np.float64) for name, tensor in net.state_dict().items()}


def plain_norm(x_CL: Floats, groups: int, weight: Floats, bias: Floats) -> Floats:
    """Compute a group norm over neighbouring channels."""
    parts = [(part - part.mean()) / np.sqrt(part.var() + 1e-5) for part in np.split(x_CL, groups)]
    return np.asarray(np.concatenate(parts) * weight[:, None] + bias[:, None])


def plain_convolution(x_CL: Floats, weight_OCK: Floats, dilation: int) -> Floats:
    """Compute an unpadded convolution along time."""
    kernel = weight_OCK.shape[2]
    steps = x_CL.shape[1] - (kernel - 1) * dilation
    taps = np.stack([x_CL[:, tap * dilation : tap * dilation + steps] for tap in range(kernel)])  # [K, C, steps]
    return np.asarray(np.einsum("ock,kct->ot", weight_OCK, taps))


def sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)))


def plain_gru(x_TW: Floats, w: dict[str, Floats]) -> Floats:
    """Compute all outputs [T, H] of a GRU, step by step."""
    hidden = w["gru.weight_hh_l0"].shape[1]
    state, outputs = np.zeros(hidden), []
    for x_W in x_TW:
        r, z, n = np.split(w["gru.weight_ih_l0"] @ x_W + w["gru.bias_ih_l0"], 3)
        hr, hz, hn = np.split(w["gru.weight_hh_l0"] @ state + w["gru.bias_hh_l0"], 3)
        reset, keep = sigmoid(r + hr), sigmoid(z + hz)
        state = keep * state + (1 - keep) * np.tanh(n + reset * hn)
        outputs.append(state)
    return np.array(outputs)


@pytest.mark.parametrize(("spec", "pool", "steps"), [(HEAD, 2, 6), (EGO4D, 3, 32)])
def test_stacked_conv_gru_equals_plain_loops(spec: ImuSpec, pool: int, steps: int) -> None:
    net = built(StackedConvGRU(width=8, hidden=12), spec)
    w, imu_BLC = weights(net), windows(spec).double()
    encoded = net.encode(imu_BLC)
    assert encoded.sequence_BTE.shape == (3, steps, 12)
    for row, imu_LC in enumerate(imu_BLC.numpy()):
        x = plain_norm(imu_LC.T, 2, w["norm.weight"], w["norm.bias"])
        for layer in range(3):
            x = plain_convolution(x, w[f"convolutions.{layer}.weight"], 2)
            x = np.stack([x[:, at : at + pool].max(axis=1) for at in range(0, x.shape[1] - pool + 1, pool)], axis=1)
        expected_TH = plain_gru(plain_norm(x, 4, w["map_norm.weight"], w["map_norm.bias"]).T, w)
        np.testing.assert_allclose(encoded.sequence_BTE[row].detach().numpy(), expected_TH, atol=1e-8)
        np.testing.assert_allclose(encoded.features_BF[row].detach().numpy(), expected_TH[-1], atol=1e-8)


def test_the_default_has_the_layers_of_imu2clip() -> None:
    net = StackedConvGRU().build(EGO4D, 5)
    shapes = [list(parameter.shape) for parameter in net.parameters()]
    convolutions = [[32, 6, 10], [32, 32, 5], [32, 32, 5]]
    assert shapes == [[6], [6], *convolutions, [32], [32], [1536, 32], [1536, 512], [1536], [1536]]
    assert StackedConvGRU().feature_dim(5) == net(windows(EGO4D)).shape[1] == 512


def test_attention_pooled_equals_plain_loops() -> None:
    net = built(AttentionPooled())
    w, imu_BLC = weights(net), windows().double()
    encoded = net.encode(imu_BLC)
    for row, imu_LC in enumerate(imu_BLC.numpy()):
        x = plain_norm(imu_LC.T, 2, w["norm.weight"], w["norm.bias"])
        x = plain_convolution(x, w["convolution.weight"], 2) + w["convolution.bias"][:, None]
        maps_WT = np.where(x > 0, x, 0.01 * x)
        score_T = w["score.weight"][0, :, 0] @ maps_WT + w["score.bias"]
        share_T = np.exp(score_T) / np.exp(score_T).sum()
        pooled_W = maps_WT @ share_T
        pooled_W = np.where(pooled_W > 0, pooled_W, 0.01 * pooled_W)
        expected_D = w["projection.weight"] @ pooled_W + w["projection.bias"]
        np.testing.assert_allclose(encoded.features_BF[row].detach().numpy(), expected_D, atol=1e-8)
        np.testing.assert_allclose(encoded.sequence_BTE[row].detach().numpy(), maps_WT.T, atol=1e-8)


def test_attention_begins_with_equal_weights_of_all_moments() -> None:
    net = cast("AttentionPooledNet", AttentionPooled(width=4).build(HEAD, 5))
    encoded = net.encode(windows())
    pooled_BW = nn.functional.leaky_relu(encoded.sequence_BTE.mean(dim=1))
    torch.testing.assert_close(encoded.features_BF, net.projection(pooled_BW))


def plain_layer_norm(x_SW: Floats, weight: Floats, bias: Floats) -> Floats:
    around = x_SW - x_SW.mean(axis=1, keepdims=True)
    return np.asarray(around / np.sqrt((around**2).mean(axis=1, keepdims=True) + 1e-5) * weight + bias)


def plain_transformer(imu_LC: Floats, w: dict[str, Floats], length: int, heads: int) -> Floats:
    """Compute the outputs of all places [S, W], head by head."""
    patches = len(imu_LC) // length
    first = len(imu_LC) - patches * length
    patch_TP = np.stack([imu_LC[first + at * length :][:length].ravel() for at in range(patches)])
    width = w["embedding.linear.bias"].size
    angle_TF = np.arange(patches)[:, None] / 10_000 ** (np.arange(0, width, 2) / width)
    x = patch_TP @ w["embedding.linear.weight"].T + w["embedding.linear.bias"]
    x = x + np.concatenate([np.sin(angle_TF), np.cos(angle_TF)], axis=1)
    if "embedding.token" in w:
        x = np.concatenate([w["embedding.token"][0], x])
    for layer in range(2):
        prefix = f"layers.{layer}."
        of = {name.removeprefix(prefix): value for name, value in w.items() if name.startswith(prefix)}
        normal = plain_layer_norm(x, of["attention_norm.weight"], of["attention_norm.bias"])
        query, key, value = np.split(normal @ of["query_key_value.weight"].T + of["query_key_value.bias"], 3, axis=1)
        attended = []
        for head in np.split(np.arange(width), heads):
            score_SS = query[:, head] @ key[:, head].T / np.sqrt(len(head))
            share_SS = np.exp(score_SS - score_SS.max(axis=1, keepdims=True))
            attended.append(share_SS / share_SS.sum(axis=1, keepdims=True) @ value[:, head])
        x = x + np.concatenate(attended, axis=1) @ of["output.weight"].T + of["output.bias"]
        normal = plain_layer_norm(x, of["norm.weight"], of["norm.bias"])
        hidden = torch.from_numpy(normal @ of["hidden.weight"].T + of["hidden.bias"])
        x = x + (hidden * torch.special.ndtr(hidden)).numpy() @ of["back.weight"].T + of["back.bias"]
    return plain_layer_norm(x, w["norm.weight"], w["norm.bias"])


@pytest.mark.parametrize("pooling", ["class", "mean"])
@pytest.mark.parametrize("spec", [HEAD, replace(HEAD, rate=50.0, window=2.06)])
def test_the_patch_transformer_equals_a_plain_one(pooling: str, spec: ImuSpec) -> None:
    net = built(PatchTransformer.model_validate({"width": 16, "depth": 2, "pooling": pooling}), spec)
    length = round(0.1 * spec.rate)
    encoded = net.encode(windows(spec).double())
    for row, imu_LC in enumerate(windows(spec).double().numpy()):
        expected_SW = plain_transformer(imu_LC, weights(net), length, heads=4)
        features_W = expected_SW[0] if pooling == "class" else expected_SW.mean(axis=0)
        np.testing.assert_allclose(encoded.features_BF[row].detach().numpy(), features_W, atol=1e-6)
        tokens = int(pooling == "class")
        np.testing.assert_allclose(encoded.sequence_BTE[row].detach().numpy(), expected_SW[tokens:], atol=1e-6)


def test_patches_end_with_the_window() -> None:
    spec = replace(HEAD, rate=50.0, window=2.06)  # 103 samples: 20 patches of 5, and 3 samples that fill none
    net = built(PatchTransformer(width=16, depth=2), spec)
    assert float(net.time_T[-1]) == pytest.approx((103 - 3) / 50, abs=1e-6)
    imu_BLC = windows(spec).double()
    changed_BLC = imu_BLC.clone()
    changed_BLC[:, :3] = 9.0
    assert torch.equal(net(imu_BLC), net(changed_BLC))


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize(("rate", "window"), [(60.0, 2.0), (200.0, 2.5), (50.0, 5.0), (30.0, 4.0), (100.0, 1.99)])
def test_moments_are_the_centres_of_their_input_at_any_rate_and_length(name: str, rate: float, window: float) -> None:
    spec = replace(HEAD, rate=rate, window=window)
    net, imu_BLC = built(ENCODERS[name], spec), windows(spec, 16).double().requires_grad_()
    maps_BWT = before_norms(net, imu_BLC)
    assert maps_BWT.shape[2] == net.encode(imu_BLC).sequence_BTE.shape[1] == len(net.time_T)
    place = maps_BWT.shape[2] // 2
    (grad_BLC,) = torch.autograd.grad(maps_BWT[:, :, place].sum(), imu_BLC)
    reached_L = grad_BLC.abs().sum(dim=(0, 2)).nonzero().double()
    centre = float(reached_L.min() + reached_L.max()) / 2 / rate
    assert centre == pytest.approx(float(net.time_T[place]), abs=1e-5)


def before_norms(net: SequenceNet, imu_BLC: Tensor) -> Tensor:
    """Compute the maps [B, W, T] without norms and attention, through which a moment depends on the whole window."""
    x_BCT = imu_BLC.transpose(1, 2)
    if isinstance(net, StackedConvGRUNet):
        for convolution in net.convolutions:
            x_BCT = nn.functional.avg_pool1d(convolution(x_BCT), net.pooling.kernel_size)
        return x_BCT
    if isinstance(net, AttentionPooledNet):
        return cast("Tensor", net.convolution(x_BCT))
    assert isinstance(net, PatchTransformerNet)
    return cast("Tensor", net.embedding(imu_BLC)[:, net.tokens :].transpose(1, 2))


@pytest.mark.parametrize("name", ENCODERS)
def test_every_parameter_gets_a_gradient_and_weights_contain_nothing_of_the_spec(name: str) -> None:
    net = built(ENCODERS[name])
    net(windows().double()).square().sum().backward()
    without = [key for key, weight in net.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert without in ([], ["score.bias"])  # softmax ignores it
    assert set(net.state_dict()) == {key for key, _ in net.named_parameters()}


@pytest.mark.parametrize("name", ENCODERS)
def test_any_channels_can_be_used_and_windows_do_not_depend_on_their_batch(name: str) -> None:
    channels = ("gyro_A_x", "acc_A_x", "pressure", "acc_A_y", "gyro_B_z")
    spec = replace(HEAD, channels=channels, units=("",) * 5)
    net, imu_BLC = built(ENCODERS[name], spec), windows(spec, 4).double()
    torch.testing.assert_close(net(imu_BLC)[1:2], net(imu_BLC[1:2]))


def test_dropout_of_a_window_does_not_depend_on_how_a_batch_is_divided() -> None:
    net, imu_BLC = PatchTransformer(width=16, depth=2, dropout=0.5).build(HEAD, 5), windows(count=6)
    number_dropouts(net)
    with one_step(seed=1, number=2, batch_size=6) as step:
        whole_BW = net(imu_BLC)
        step.rows = slice(2, 5)
        torch.testing.assert_close(net(imu_BLC[2:5]), whole_BW[2:5], rtol=0, atol=1e-5)
    assert not torch.allclose(net.eval()(imu_BLC), whole_BW, atol=0.1)


def test_a_channel_norm_is_a_group_norm_of_accelerometers_and_gyroscopes_in_any_order() -> None:
    x_BCL = windows().transpose(1, 2)
    norm, plain = ChannelNorm(HEAD.channels), nn.GroupNorm(2, 6)
    drawn = {"weight": torch.randn(6), "bias": torch.randn(6)}
    norm.load_state_dict(drawn)
    plain.load_state_dict(drawn)
    torch.testing.assert_close(norm(x_BCL), plain(x_BCL))
    order = [3, 0, 4, 1, 5, 2]
    mixed = ChannelNorm([HEAD.channels[place] for place in order])
    mixed.load_state_dict({key: value[order] for key, value in drawn.items()})
    torch.testing.assert_close(mixed(x_BCL[:, order]), plain(x_BCL)[:, order])
    assert set(norm.state_dict()) == {"weight", "bias"}


def test_the_shortest_window_makes_one_step() -> None:
    assert shortest_window((10, 5, 5), 2, [3, 3, 3]) == 141
    encoder = StackedConvGRU(width=4, hidden=3, pool=3)
    spec = replace(HEAD, rate=141.0, window=1.0)
    net = encoder.build(spec, 5)
    assert isinstance(net, SequenceNet)
    assert net.encode(windows(spec)).sequence_BTE.shape == (3, 1, 3)
    with pytest.raises(ConfigError, match=r"need 141 samples, but a window of 1 s at 140 Hz has 140; use a longer"):
        encoder.build(replace(spec, rate=140.0), 5)


def test_other_windows_that_are_too_short_are_errors() -> None:
    with pytest.raises(ConfigError, match=r"needs 19 samples, but a window of 0\.3 s at 60 Hz has 18"):
        AttentionPooled().build(replace(HEAD, window=0.3), 5)
    with pytest.raises(ConfigError, match=r"shorter than two patches of 6 samples; .* smaller imu\.patch \(0\.1 s\)"):
        PatchTransformer().build(replace(HEAD, window=0.1), 5)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (StackedConvGRU, {"width": 10}, r"width \(10\) must be divisible by groups \(4\)"),
        (StackedConvGRU, {"kernels": ()}, "kernels"),
        (PatchTransformer, {"width": 10}, r"width \(10\) must be divisible by heads \(4\)"),
        (PatchTransformer, {"width": 9, "heads": 3}, r"width \(9\) must be even"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(
    kind: type[ImuEncoder], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        kind.model_validate(settings)


def test_the_gru_begins_with_memories_of_all_lengths() -> None:
    net = StackedConvGRU(width=4, hidden=8).build(EGO4D, 5)
    bias = net.get_parameter("gru.bias_ih_l0")
    assert (bias[8:16] >= 0).all()
    assert bias[8:16].max() > 1
    assert not bias[:8].any()


@pytest.mark.parametrize(("length", "parts"), [(15, 32), (32, 32), (64, 32), (100, 7), (1, 3)])
def test_means_of_parts_are_adaptive_average_pooling(length: int, parts: int) -> None:
    x_BWL = torch.randn(2, 3, length)
    torch.testing.assert_close(MeanOfParts(length, parts)(x_BWL), nn.AdaptiveAvgPool1d(parts)(x_BWL))
