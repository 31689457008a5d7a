from __future__ import annotations

import pytest
import torch
from torch import nn

from revalexo_clip.models.encoders.fast.convolution import PointwiseConv3d
from revalexo_clip.models.encoders.fast.x3d import speed_up


@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2), (2, 3, 1)])
@pytest.mark.parametrize("bias", [False, True])
def test_output_and_gradients_equal_those_of_conv3d(stride: tuple[int, int, int], bias: bool) -> None:
    x = torch.randn(2, 5, 3, 4, 7, dtype=torch.float64, requires_grad=True)
    conv = nn.Conv3d(5, 6, 1, stride, bias=bias).double()
    y_plain = conv(x)
    upstream = torch.randn_like(y_plain)
    wanted = torch.autograd.grad(y_plain, [x, *conv.parameters()], upstream)
    speed_up(nn.Sequential(conv))
    assert type(conv) is PointwiseConv3d
    y_fast = conv(x)
    torch.testing.assert_close(y_fast, y_plain, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.autograd.grad(y_fast, [x, *conv.parameters()], upstream), wanted)


@pytest.mark.parametrize("conv", [nn.Conv3d(4, 8, 1, groups=2), nn.Conv3d(4, 4, 1, padding=1), nn.Conv3d(4, 4, 3)])
def test_other_convolutions_keep_their_form(conv: nn.Conv3d) -> None:
    speed_up(nn.Sequential(conv))
    assert type(conv) is nn.Conv3d
