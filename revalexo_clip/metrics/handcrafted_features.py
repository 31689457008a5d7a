"""Handcrafted features: statistics and spectrum of each IMU channel, a baseline for the pretrained encoder.

The choice is the usual one for body-worn sensors (Bulling, Blanke & Schiele, 2014, doi:10.1145/2499621).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

BANDS = (0.25, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Edges of the frequency bands [Hz]. A step takes about 0.5 s, a stride about 1 s."""
QUANTILES = (0.25, 0.5, 0.75)
FLOOR = 1e-8
"""Added to the power of a band before its logarithm is taken."""


def handcrafted_features(imu_BLC: Tensor, rate: float) -> Tensor:
    """Compute features [B, F] float32 from IMU windows [B, L, C] at `rate` [Hz], the same ones for each channel.

    For each channel: mean, standard deviation, minimum, maximum, quartiles, root mean square, mean absolute
    difference between samples, logarithm of the power in each band, and the frequency with the highest power.
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
