"""Features that people made before encoders were trained: statistics and spectrum of each IMU channel.

What a pretrained encoder has to beat. The choice is the usual one for body-worn sensors (Bulling, Blanke & Schiele,
2014, doi:10.1145/2499621).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

BANDS = (0.25, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Edges of the frequency bands [Hz]. A step takes about half a second, a stride a whole one."""
QUANTILES = (0.25, 0.5, 0.75)
FLOOR = 1e-8
"""Added to a band's power before its logarithm is taken."""


def handcrafted_features(imu_BLC: Tensor, rate: float) -> Tensor:
    """[B, L, C] IMU windows at `rate` [Hz] -> [B, F] float32, F the same number for each channel.

    Of each channel: mean, deviation, least, largest, quartiles, root mean square, mean step from sample to sample, the
    logarithm of its power in each band, and the frequency that has most power.
    """
    x_BLC = imu_BLC.float()
    parts = (*_statistics(x_BLC), *_spectrum(x_BLC, rate))
    return torch.stack(parts, dim=-1).flatten(start_dim=1)


def _statistics(x_BLC: Tensor) -> tuple[Tensor, ...]:
    steps_BLC = x_BLC.diff(dim=1).abs() if x_BLC.shape[1] > 1 else torch.zeros_like(x_BLC)
    return (
        x_BLC.mean(dim=1),
        x_BLC.std(dim=1, correction=0),
        x_BLC.amin(dim=1),
        x_BLC.amax(dim=1),
        *torch.quantile(x_BLC, torch.tensor(QUANTILES, device=x_BLC.device), dim=1),
        x_BLC.square().mean(dim=1).sqrt(),
        steps_BLC.mean(dim=1),
    )


def _spectrum(x_BLC: Tensor, rate: float) -> tuple[Tensor, ...]:
    length = x_BLC.shape[1]
    taper_L1 = torch.hann_window(length, device=x_BLC.device)[:, None]
    around_BLC = x_BLC - x_BLC.mean(dim=1, keepdim=True)
    power_BMC = torch.fft.rfft(around_BLC * taper_L1, dim=1).abs().square() / length
    frequency_M = torch.fft.rfftfreq(length, 1 / rate, device=x_BLC.device)
    bands = [power_BMC[:, (low <= frequency_M) & (frequency_M < high)].sum(dim=1) for low, high in pairwise(BANDS)]
    return (*((band_BC + FLOOR).log10() for band_BC in bands), frequency_M[power_BMC.argmax(dim=1)])
