from __future__ import annotations

import pytest
import torch
from torch import nn

from revalexo_clip.training.step_functions import clip_gradient


@pytest.mark.parametrize(("limit", "scale"), [(None, 1.0), (0.0, 1.0), (50.0, 1.0), (6.5, 0.5)])
def test_the_gradient_of_all_groups_is_clipped_together(limit: float | None, scale: float) -> None:
    gradients = [torch.tensor([3.0, 4.0]), torch.tensor([12.0])]
    parameters = [nn.Parameter(torch.zeros(len(gradient))) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    optimizer = torch.optim.SGD([{"params": [parameter]} for parameter in parameters])
    assert clip_gradient(optimizer, limit).item() == pytest.approx(13.0)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        torch.testing.assert_close(parameter.grad, scale * gradient)
