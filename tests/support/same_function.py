"""A model and its faster form must have the same outputs, gradients and statistics."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn


def assert_same_function(plain: nn.Module, speed_up: Callable[[nn.Module], None], video_B3THW: Tensor) -> None:
    """Compare in double precision, training and not, under the same random numbers; and in single precision.

    The latter not in training: where batch norm moves an activation over the corner of a ReLU, a gradient in single
    precision is off by per cents, PyTorchVideo's as much as ours. `speed_up` gets a copy of the model.
    """
    fast = copy.deepcopy(plain)
    speed_up(fast)
    assert list(fast.state_dict()) == list(plain.state_dict())
    cases = ((torch.float64, True, 1e-10), (torch.float64, False, 1e-10), (torch.float32, False, 1e-4))
    for dtype, training, tolerance in cases:
        plain, fast = (model.to(dtype).train(training) for model in (plain, fast))
        fast.load_state_dict(plain.state_dict())
        want, got = (_outcome(model, video_B3THW.to(dtype)) for model in (plain, fast))
        for name, value in want.items():
            error = float((got[name] - value).abs().max() / value.abs().max().clamp(min=1e-3))
            assert error < tolerance, f"{name} is off by {error:.1e} in {dtype}, training {training}"


def _outcome(model: nn.Module, video_B3THW: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(0)
    video_B3THW = video_B3THW.clone().requires_grad_()
    output = model(video_B3THW)
    model.zero_grad()
    (output * torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)).sum().backward()
    gradients = {name: weight.grad for name, weight in model.named_parameters()} | {"video": video_B3THW.grad}
    assert all(gradient is not None for gradient in gradients.values())
    statistics = {f"statistic {name}": value.to(output.dtype) for name, value in model.named_buffers()}
    return {"output": output.detach(), **statistics} | {k: g for k, g in gradients.items() if g is not None}
