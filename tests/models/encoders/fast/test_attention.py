from __future__ import annotations

import pytest
import torch
from torch import nn

from revalexo_clip.models.encoders.fast.attention import projected


@pytest.mark.parametrize("asking", [1, 6], ids=["class token asks", "all ask"])
@pytest.mark.parametrize("met", [None, [0, 2, 3]], ids=["all are met", "three are met"])
def test_outputs_and_gradients_are_those_of_three_linear_maps(asking: int, met: list[int] | None) -> None:
    torch.manual_seed(0)
    q, k, v = linear = tuple(nn.Linear(4, 5, dtype=torch.float64) for _ in range(3))
    x = torch.randn(2, 6, 4, dtype=torch.float64, requires_grad=True)
    got = projected(x, asking, None if met is None else torch.tensor(met), (q, k, v))
    kept = x if met is None else x[:, met]
    want = q(x[:, :asking]), k(kept), v(kept)
    torch.testing.assert_close(got, want)
    upstream = [torch.randn_like(each) for each in want]
    leaves = [x, *(parameter for each in linear for parameter in each.parameters())]
    gradients = [torch.autograd.grad(outputs, leaves, upstream) for outputs in (got, want)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=1e-12)
