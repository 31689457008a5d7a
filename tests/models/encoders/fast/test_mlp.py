from __future__ import annotations

import pytest
import torch
from pytorchvideo.layers.attention import Mlp
from torch import nn

from revalexo_clip.models.encoders.fast import mlp as recomputed_mlp
from revalexo_clip.models.encoders.fast.mlp import RecomputedMlp


def networks(channels: int) -> tuple[nn.Module, nn.Module]:
    """Return PyTorchVideo's module and ours with the same weights."""
    torch.manual_seed(0)
    plain = Mlp(channels, 4 * channels, 2 * channels).double()
    return plain, RecomputedMlp(plain)


@pytest.mark.parametrize("channels", [16, 128], ids=["narrow", "wide"])
@pytest.mark.parametrize("numbers", [1, 2000, 2**21], ids=["row by row", "uneven parts", "at once"])
def test_it_is_the_same_function_however_many_rows_at_a_time(
    channels: int, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recomputed_mlp, "WIDE", numbers)
    plain, ours = networks(channels)
    x = torch.randn(2, 7, channels, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn_like(plain(x))
    outcomes = [
        (y := network(x), *torch.autograd.grad(y, [x, *plain.parameters()], upstream)) for network in (plain, ours)
    ]
    torch.testing.assert_close(outcomes[1], outcomes[0], rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), outcomes[0][0], rtol=1e-12, atol=1e-12)


def test_wide_activations_are_never_stored_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recomputed_mlp, "WIDE", 10 * 64)
    _, ours = networks(16)
    x = torch.randn(100, 16, dtype=torch.float64, requires_grad=True)
    with torch.profiler.profile(record_shapes=True) as profile:
        ours(x).sum().backward()
    rows = [shape[0] for event in profile.events() for shape in event.input_shapes if shape[1:] == [64]]
    assert max(rows) == 32, "those of the second weights; parts have 10"


def test_an_empty_input_is_accepted() -> None:
    _, ours = networks(16)
    x = torch.zeros(0, 5, 16, dtype=torch.float64, requires_grad=True)
    ours(x).sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape
