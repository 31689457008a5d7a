"""The values of training steps: their means over the steps between two rows of `metrics.csv`, and over an epoch.

Sums stay on the device; reading a value in every step would make the host wait for the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Sums = dict[str, tuple[Tensor, int | Tensor]]
"""Sum of the values of steps and their number, by the name of their mean. The number is on the device if it depends on
the values."""

ROW, EPOCH = "row", "epoch"


class StepLog:
    """Adds up the values of steps. A checkpoint has the sums, so that a resumed run logs the same means."""

    def __init__(self) -> None:
        self._sums: dict[str, Sums] = {ROW: {}, EPOCH: {}}

    def add(
        self,
        *,
        row: Mapping[str, Tensor | None] | None = None,
        finite: Mapping[str, Tensor] | None = None,
        epoch: Mapping[str, Tensor | None],
    ) -> None:
        """Add the values [] of a step, to the means of the next row and to those of the epoch; None is left out.

        `finite` are values of the row of which only finite ones count; the mean of none is nan.
        """
        for kind, values in ((ROW, row or {}), (EPOCH, epoch)):
            for name, value in values.items():
                if value is not None:
                    self._add(kind, name, _precise(value), 1)
        for name, value in (finite or {}).items():
            x = _precise(value)
            counts = x.isfinite()
            self._add(ROW, name, torch.where(counts, x, 0), counts)

    def _add(self, kind: str, name: str, x: Tensor, number: int | Tensor) -> None:
        total, count = self._sums[kind].get(name, (torch.zeros_like(x), 0))
        self._sums[kind][name] = total.to(x.device) + x, _moved(count, x.device) + number

    def take(self, kind: str) -> dict[str, Tensor]:
        """Return the means [] of a `ROW` or of an `EPOCH` on the host, and start again. It waits for the device."""
        sums, self._sums[kind] = self._sums[kind], {}
        means = [total / count for total, count in sums.values()]
        if not means:
            return {}
        device = means[-1].device  # sums of a checkpoint to which nothing was added are still on the host
        return dict(zip(sums, torch.stack([mean.to(device) for mean in means]).cpu(), strict=True))

    def state_dict(self) -> dict[str, Sums]:
        """Return the sums so far, for a checkpoint."""
        return {
            kind: {name: (total.cpu(), _moved(count, "cpu")) for name, (total, count) in sums.items()}
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


def _precise(value: Tensor) -> Tensor:
    return value.detach().to(torch.float32 if value.device.type == "mps" else torch.float64)


def _moved(count: int | Tensor, device: torch.device | str) -> int | Tensor:
    return count.to(device) if isinstance(count, Tensor) else count
