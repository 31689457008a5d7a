"""A learnable temperature, kept as the logarithm of a bounded scale (Radford et al., 2021, arXiv:2103.00020)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from revalexo_clip.losses.base import LossModule

MAX_LOG_SCALE = math.log(100)

Temperature = Annotated[float, Field(ge=0.01, le=1)]
"""Between 1 / 100 and 1."""


class WithTemperature(LossModule):
    """An objective that divides similarities by a temperature that it learns."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    @property
    def temperature(self) -> Tensor:
        """What similarities are divided by, []."""
        return (-self.log_scale.detach().clamp(0, MAX_LOG_SCALE)).exp()

    def scale(self) -> Tensor:
        """1 / temperature, [], between 1 and 100.

        The parameter itself is brought back into its range, rather than only the value made of it. A clamped value has
        no gradient outside the range, so a parameter that one step carried out would stay there for good; and any
        gradient made up for it would no longer be a sum over ranks or blocks of the batch.
        """
        with torch.no_grad():
            self.log_scale.clamp_(0, MAX_LOG_SCALE)
        return self.log_scale.exp()


def at_least_float32(x: Tensor) -> Tensor:
    """What losses are computed in, also under autocast."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
