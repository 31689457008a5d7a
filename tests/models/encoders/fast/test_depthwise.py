from __future__ import annotations

import pytest
import torch
from torch import nn

from revalexo_clip.models.encoders.fast import convolution as forms
from revalexo_clip.models.encoders.fast.convolution import DepthwiseConv3d, fits
from revalexo_clip.models.encoders.fast.x3d import speed_up


def depthwise(kernel: tuple[int, int, int], stride: int, *, bias: bool = False, channels: int = 6) -> nn.Conv3d:
    torch.manual_seed(0)
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(
        channels, channels, kernel, stride=(1, stride, stride), padding=padding, groups=channels, bias=bias
    ).double()


def fast(conv: nn.Conv3d) -> nn.Conv3d:
    speed_up(nn.Sequential(conv))
    assert type(conv) is DepthwiseConv3d
    return conv


@pytest.mark.parametrize("side", [1, 2, 4, 7])  # small ones go through matrices, large ones through two dimensions
@pytest.mark.parametrize("frames", [1, 2, 4, 9])
@pytest.mark.parametrize(
    ("kernel", "stride", "bias"),
    [((3, 3, 3), 1, False), ((3, 3, 3), 2, False), ((5, 1, 1), 1, False), ((3, 3, 3), 2, True)],
)
def test_output_and_gradients_equal_those_of_conv3d(
    kernel: tuple[int, int, int], stride: int, bias: bool, frames: int, side: int
) -> None:
    plain = depthwise(kernel, stride, bias=bias)
    quick = fast(depthwise(kernel, stride, bias=bias))
    x = torch.randn(2, 6, frames, side, side + 1, dtype=torch.float64)
    x_plain, x_fast = x.clone().requires_grad_(), x.clone().requires_grad_()
    y_plain, y_fast = plain(x_plain), quick(x_fast)
    torch.testing.assert_close(y_fast, y_plain, rtol=1e-12, atol=1e-12)
    upstream = torch.randn_like(y_plain)
    y_plain.backward(upstream)
    y_fast.backward(upstream)
    assert x_plain.grad is not None
    torch.testing.assert_close(x_fast.grad, x_plain.grad, rtol=1e-12, atol=1e-12)
    for fast_parameter, plain_parameter in zip(quick.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(fast_parameter.grad, plain_parameter.grad, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("frames", [3, 4, 5])  # two channels to a group, and one
def test_a_large_batch_is_convolved_sample_by_sample(monkeypatch: pytest.MonkeyPatch, frames: int) -> None:
    plain, quick = depthwise((3, 3, 3), 2), fast(depthwise((3, 3, 3), 2))
    x = torch.randn(3, 6, frames, 7, 7, dtype=torch.float64)
    monkeypatch.setattr(forms, "LARGE", 0)
    torch.testing.assert_close(quick(x), plain(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv3d(4, 4, 3, padding=1),
        nn.Conv3d(4, 8, 3, padding=1, groups=4),
        nn.Conv3d(4, 4, 3, padding=1, groups=4, stride=2),
        nn.Conv3d(4, 4, 3, padding=(0, 1, 1), groups=4),
        nn.Conv3d(4, 4, (2, 3, 3), padding=1, groups=4),
        nn.Conv3d(4, 4, 3, padding=2, dilation=2, groups=4),
    ],
    ids=["dense", "multiplier", "temporal stride", "no temporal padding", "even kernel", "dilated"],
)
def test_other_convolutions_keep_their_form(conv: nn.Conv3d) -> None:
    assert not fits(conv)
    model = nn.Sequential(conv)
    speed_up(model)
    assert model[0] is conv
    assert type(conv) is nn.Conv3d


def test_a_sped_up_model_has_the_same_state_dict() -> None:
    model = nn.Sequential(depthwise((3, 3, 3), 1), nn.Sequential(depthwise((5, 1, 1), 1, bias=True)))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    speed_up(model)
    assert sum(isinstance(module, DepthwiseConv3d) for module in model.modules()) == 2
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.long
@pytest.mark.parametrize("side", [3, 9])
@torch.no_grad()
def test_it_exports_and_still_computes_afterwards(side: int) -> None:
    model = nn.Sequential(depthwise((3, 3, 3), 1), depthwise((5, 1, 1), 1)).eval()
    speed_up(model)
    x = torch.randn(1, 6, 4, side, side, dtype=torch.float64)
    exported = torch.export.export(model, (x,))
    torch.testing.assert_close(exported.module()(x), model(x))
