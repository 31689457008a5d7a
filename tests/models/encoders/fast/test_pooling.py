from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from revalexo_clip.models.encoders.fast.pooling import Pooling, pool_tokens


def plain(tokens_BNC: Tensor, conv: nn.Conv3d, heads: int, thw: tuple[int, int, int]) -> Tensor:
    """Pool head by head with PyTorch's convolution."""
    class_B1C, places_BNC = tokens_BNC[:, :1], tokens_BNC[:, 1:]
    parts = places_BNC.transpose(1, 2).reshape(len(tokens_BNC), -1, *thw).chunk(heads, dim=1)
    return torch.cat((class_B1C, torch.cat([conv(part) for part in parts], dim=1).flatten(2).transpose(1, 2)), dim=1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    ("thw", "kernel", "stride"),
    [
        ((4, 6, 5), (3, 3, 3), 2),
        ((2, 9, 7), (3, 3, 3), 3),
        ((1, 4, 4), (3, 3, 3), 1),
        ((3, 7, 8), (5, 5, 3), 2),
        ((3, 5, 5), (1, 3, 3), 1),
        ((1, 5, 5), (5, 3, 3), 4),
    ],
)
def test_outputs_and_gradients_are_those_of_the_librarys_convolution_of_every_head(
    thw: tuple[int, int, int], kernel: tuple[int, int, int], stride: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    heads, channels = 3, 16
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    conv = nn.Conv3d(channels, channels, kernel, (1, stride, stride), padding, groups=channels, bias=False, dtype=dtype)
    tokens = torch.randn(2, 1 + thw[0] * thw[1] * thw[2], heads * channels, dtype=dtype, requires_grad=True)
    got, places = pool_tokens(tokens, conv, heads, Pooling(thw, (stride, stride), padding[1:]))
    want = plain(tokens, conv, heads, thw)
    assert got.shape[1] == 1 + places[0] * places[1] * places[2]
    upstream = torch.randn_like(want)
    outcomes = [(y, *torch.autograd.grad(y, [tokens, conv.weight], upstream)) for y in (got, want)]
    tolerance = 1e-12 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(outcomes[0], outcomes[1], rtol=tolerance, atol=tolerance)
