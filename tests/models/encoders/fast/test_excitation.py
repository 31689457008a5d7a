from __future__ import annotations

import torch
from torch import nn

from revalexo_clip.models.encoders.fast.x3d import SqueezeExcitation, dots


def test_output_and_gradients_equal_those_of_a_broadcast_product() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    gate = nn.Sequential(nn.Conv3d(6, 6, 1), nn.Sigmoid()).double()
    got = SqueezeExcitation(gate)(x)
    want = x * gate(x.mean(dim=(2, 3, 4), keepdim=True))
    upstream = torch.randn_like(want)
    found = [torch.autograd.grad(y, [x, *gate.parameters()], upstream) for y in (got, want)]
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-12)


def test_dot_products_do_not_depend_on_the_layout() -> None:
    x, y = torch.randn(2, 2, 3, 4, 5, 6, dtype=torch.float64)
    turned = x.transpose(1, 2).contiguous().transpose(1, 2)
    expected = (x * y).sum(dim=(2, 3, 4)).flatten()
    torch.testing.assert_close(dots(turned, y), expected)
