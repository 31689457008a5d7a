"""The values of training steps: their means over the steps between two rows of `metrics.csv`, and over an epoch.

Sums stay on the device; reading a value in every step would make the host wait for the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Sums = dict[str, tuple[Tensor, int]]
"""Sum of the values of steps and their number, by the name of their mean."""

ROW, EPOCH = "row", "epoch"


class StepLog:
    """Adds up the values of steps. A checkpoint has the sums, so that a resumed run logs the same means."""

    def __init__(self) -> None:
        self._sums: dict[str, Sums] = {ROW: {}, EPOCH: {}}

    def add(self, *, row: Mapping[str, Tensor | None] | None = None, epoch: Mapping[str, Tensor | None]) -> None:
        """Add the values [] of a step, to the means of the next row and to those of the epoch; None is left out."""
        for kind, values in ((ROW, row or {}), (EPOCH, epoch)):
            for name, value in values.items():
                if value is not None:
                    x = value.detach().to(torch.float32 if value.device.type == "mps" else torch.float64)
                    total, count = self._sums[kind].get(name, (torch.zeros_like(x), 0))
                    self._sums[kind][name] = total.to(x.device) + x, count + 1

    def take(self, kind: str) -> dict[str, Tensor]:
        """Return the means [] of a `ROW` or of an `EPOCH` on the host, and start again. It waits for the device."""
        sums, self._sums[kind] = self._sums[kind], {}
        means = [total / count for total, count in sums.values()]
        return dict(zip(sums, torch.stack(means).cpu(), strict=True)) if means else {}

    def state_dict(self) -> dict[str, dict[str, tuple[Tensor, int]]]:
        """Return the sums so far, for a checkpoint."""
        return {
            kind: {name: (total.cpu(), count) for name, (total, count) in sums.items()}
            for kind, sums in self._sums.items()
        }

    def load_state_dict(self, state: Mapping[str, Any], steps: int) -> None:
        """Continue with the sums of a checkpoint, of which the unfinished epoch has a number of `steps`.

        Up to version 0.1, they were weighted sums as Lightning keeps them, by the name of a hook and of the metric.
        """
        if set(state) <= {ROW, EPOCH}:
            self._sums = {kind: {name: (x, n) for name, (x, n) in state.get(kind, {}).items()} for kind in (ROW, EPOCH)}
            return
        means = {name.split(".", 1)[-1]: sums["value"] / sums["cumulated_batch_size"] for name, sums in state.items()}
        if "train/loss" in means:
            means["train/loss_epoch"] = means.pop("train/loss")
        self._sums = {ROW: {}, EPOCH: {name: (mean.double() * steps, steps) for name, mean in means.items()}}
