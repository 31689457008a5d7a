"""Every form of a depthwise convolution for accelerators computes `Conv3d`."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from revalexo_clip.core.types import VideoSpec
from revalexo_clip.models.encoders import MViT
from revalexo_clip.models.encoders.base import VideoNet, use_channels_last
from revalexo_clip.models.encoders.fast import attention, convolution, mlp, mvit
from revalexo_clip.models.encoders.fast.depthwise_forms import FORMS
from revalexo_clip.models.encoders.fast.pooling import is_channels_last, pool_channels_last

SIZES = {
    "X3D": ((3, 3, 3), (1, 1, 1), (1, 1, 1), 4),
    "X3D, strided": ((3, 3, 3), (1, 2, 2), (1, 1, 1), 4),
    "X3D, along time": ((5, 1, 1), (1, 1, 1), (2, 0, 0), 3),
    "MViT": ((3, 3, 3), (1, 8, 8), (1, 1, 1), 2),
    "one frame": ((5, 3, 3), (1, 1, 1), (2, 1, 1), 1),
}


def outcome(form: str, conv: nn.Conv3d, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    y = FORMS[form](conv, x)
    upstream = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    return [y, *torch.autograd.grad(y, [x, *conv.parameters()], upstream)]


@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", [form for form in FORMS if form != "library"])
def test_outputs_and_gradients_are_those_of_the_library(form: str, size: str, bias: bool) -> None:
    kernel, stride, padding, frames = SIZES[size]
    conv = nn.Conv3d(4, 4, kernel, stride, padding, groups=4, bias=bias, dtype=torch.float64)
    x = torch.randn(2, 4, frames, 16, 10, dtype=torch.float64)
    torch.testing.assert_close(outcome(form, conv, x), outcome("library", conv, x), rtol=1e-10, atol=1e-12)


def test_tokens_are_pooled_in_their_own_layout_as_maps_of_each_head_are() -> None:
    conv = nn.Conv3d(5, 5, 3, (1, 2, 2), 1, groups=5, bias=False, dtype=torch.float64)
    grid_BTHWC = torch.randn(2, 3, 6, 4, 2 * 5, dtype=torch.float64)
    pooled = pool_channels_last(grid_BTHWC, conv, heads=2)
    expected = [conv(head.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1) for head in torch.chunk(grid_BTHWC, 2, dim=-1)]
    torch.testing.assert_close(pooled, torch.cat(expected, dim=-1), rtol=1e-12, atol=1e-12)


def test_channels_last_weights_are_recognised_with_a_single_input_channel() -> None:
    weight = nn.Conv3d(4, 4, 3, groups=4).weight
    assert not is_channels_last(weight)
    assert is_channels_last(weight.to(memory_format=torch.channels_last_3d))


@pytest.fixture
def as_on_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let encoders take the forms that they take on an accelerator."""
    for module in (attention, convolution, mlp, mvit):
        monkeypatch.setattr(module, "suits_cpu_forms", lambda _: False)


@pytest.fixture
def attended(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Collect what reaches the fused attention, which gets neither a mask nor a bias."""
    found: list[Tensor] = []
    fused = nn.functional.scaled_dot_product_attention

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        found.extend((q, k, v))
        return fused(q, k, v)

    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", attend)
    return found


@pytest.mark.long
@pytest.mark.usefixtures("as_on_an_accelerator")
def test_an_mvit_in_channels_last_computes_the_same_on_an_accelerator(attended: list[Tensor]) -> None:
    net = MViT(weights=None, dropout=0).build(VideoSpec(frames=2, crop=32, short_side=32, window=2.0), 4).double()
    other = copy.deepcopy(net)
    use_channels_last(other)
    assert isinstance(other, VideoNet)
    assert other.channels_last
    video = torch.randn(2, 3, 2, 32, 32, dtype=torch.float64)
    outputs = [module(video) for module in (net, other)]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-9, atol=1e-10)
    for output in outputs:
        output.square().sum().backward()
    for name, weight in net.named_parameters():
        torch.testing.assert_close(other.get_parameter(name).grad, weight.grad, rtol=1e-7, atol=1e-9)
    assert len(attended) == 2 * 16 * 3
    assert all(tokens.stride(-1) == 1 for tokens in attended), "the flash form needs the channels of a head contiguous"
