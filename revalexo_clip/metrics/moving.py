"""Which windows move: those in which the body stands still look all the same, and nobody can tell them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

LEAST_DEVIATION: Mapping[str, float] = {"m/s^2": 1.0, "rad/s": 0.25}
"""Standard deviation within a window, as the root mean square over all channels of a unit, from which on it moves.

A person who walks has about 4 m/s^2 and 1 rad/s, one who sits still less than a fifth of that. The noise of a sensor is
smaller by an order of magnitude.
"""


def moving(imu_BLC: Tensor, units: Sequence[str]) -> Tensor:
    """Return [B] bool: whether accelerometers or gyroscopes deviate by `LEAST_DEVIATION` or more in each window.

    `imu_BLC` [B, L, C] is in the channels' units. If no channel has a unit of `LEAST_DEVIATION`, all windows move.
    """
    known = {unit: [place for place, name in enumerate(units) if name == unit] for unit in LEAST_DEVIATION}
    variance_BC = imu_BLC.float().var(dim=1, correction=0)
    deviates = [
        variance_BC[:, places].mean(dim=1) >= LEAST_DEVIATION[unit] ** 2 for unit, places in known.items() if places
    ]
    if not deviates:
        return torch.ones(len(imu_BLC), dtype=torch.bool, device=imu_BLC.device)
    return torch.stack(deviates).any(dim=0)
