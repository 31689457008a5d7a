from __future__ import annotations

import pytest
import torch
from support.same_function import assert_same_function
from torch import nn

from revalexo_clip.models.encoders.fast.x3d import speed_up
from revalexo_clip.models.encoders.pretrained_weights import builder


def untouched(size: str) -> nn.Module:
    """Return PyTorchVideo's model with branches that do not start at zero and a head for small crops."""
    torch.manual_seed(0)
    model = builder("x3d", f"x3d_{size}")()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm3d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.1)
    model.get_submodule("blocks.5.pool").pool = nn.AvgPool3d(1)
    return model


@pytest.mark.long
@pytest.mark.parametrize(("size", "frames", "crop"), [("xs", 4, 65), ("m", 3, 40)])
def test_x3d_is_the_same_function_as_pytorchvideos(size: str, frames: int, crop: int) -> None:
    assert_same_function(untouched(size), speed_up, torch.randn(2, 3, frames, crop, crop + 3))


@pytest.mark.long
def test_a_step_in_mixed_precision_is_close_to_one_in_single() -> None:
    model = untouched("xs").get_submodule("blocks.1")
    speed_up(model)
    x = torch.randn(2, 24, 2, 16, 16)
    losses = []
    for mixed in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = model(x).float().square().mean()
        loss.backward()
        losses.append(loss)
    torch.testing.assert_close(losses[1], losses[0], rtol=0.05, atol=0)


def test_nothing_of_the_slow_forms_is_left() -> None:
    model = untouched("xs")
    speed_up(model)
    slow = [name for name, part in model.named_modules() if type(part) is nn.Conv3d or "Swish" in type(part).__name__]
    assert slow == ["blocks.0.conv.conv_t"]  # the first convolution is dense
