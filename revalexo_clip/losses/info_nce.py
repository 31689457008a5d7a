"""InfoNCE between two modalities, symmetric, with a learnable temperature.

The objective is van den Oord et al., 2018 (arXiv:1807.03748); both directions and the temperature kept as the logarithm
of a bounded scale are Radford et al., 2021 (arXiv:2103.00020); IMU against video is Moon et al., 2022
(arXiv:2210.14395).
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from revalexo_clip.losses.base import Loss, LossModule

MAX_LOG_SCALE = math.log(100)


class InfoNCE(Loss):
    """Each window finds its partner among all of the batch, in both directions."""

    temperature: Annotated[float, Field(ge=0.01, le=1)] = 0.1
    """What similarities are divided by, at the start; it is learned, and stays between 0.01 and 1."""

    def build(self) -> LossModule:
        """See `Loss.build`."""
        return InfoNCELoss(self.temperature)


class InfoNCELoss(LossModule):
    """Mean of the two cross-entropies of <imu, video> / temperature."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def forward(self, imu_ND: Tensor, video_ND: Tensor, excluded_NN: Tensor | None = None) -> Tensor:
        """See `LossModule.forward`. Computed in float32 at least, also under autocast."""
        with torch.autocast(imu_ND.device.type, enabled=False):
            logits_NN = self._scale() * (_at_least_float32(imu_ND) @ _at_least_float32(video_ND).T)
            target_N = torch.arange(len(logits_NN), device=logits_NN.device)
            if excluded_NN is not None:
                partner_NN = torch.eye(len(logits_NN), dtype=torch.bool, device=logits_NN.device)
                logits_NN = logits_NN.masked_fill(excluded_NN & ~partner_NN, -math.inf)
            imu_to_video = nn.functional.cross_entropy(logits_NN, target_N)
            video_to_imu = nn.functional.cross_entropy(logits_NN.T, target_N)
            return (imu_to_video + video_to_imu) / 2

    @property
    def temperature(self) -> Tensor:
        """What similarities are divided by, []."""
        return (-self.log_scale.detach().clamp(0, MAX_LOG_SCALE)).exp()

    def _scale(self) -> Tensor:
        """1 / temperature, [], between 1 and 100.

        The parameter itself is brought back into its range, rather than only the value made of it. A clamped value has
        no gradient outside the range, so a parameter that one step carried out would stay there for good; and any
        gradient made up for it would no longer be a sum over ranks or blocks of the batch.
        """
        with torch.no_grad():
            self.log_scale.clamp_(0, MAX_LOG_SCALE)
        return self.log_scale.exp()


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
