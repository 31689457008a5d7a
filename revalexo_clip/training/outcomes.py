"""What the host learns of training steps, without waiting for the device that computes them.

A device works through a queue of operations. If the host reads a number of the present step, it can fill the queue no
further until that step is done, and the device then waits for the host. Therefore everything that the host has to know
of a step is copied while the device goes on, and read when the next step is already in the queue. Until a step is known
to be sound, the weights before it are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from revalexo_clip.training.drawn_batches import TrainingBatch

_SIGNALS = 65
"""Numbers of signals are below this."""


class Ballot(NamedTuple):
    """What a process asks of all processes, or what they have agreed on."""

    unreadable: bool = False
    """Its windows could not be read, so that the step must not count, and the run ends."""
    save: bool = False
    """A checkpoint is due."""
    signal: int = 0
    """Number of the signal that it received, 0 for none; that of several processes is the largest."""

    def encode(self, device: torch.device) -> Tensor:
        """Return [`FLAGS`] float32, which are added up over processes."""
        flags_F = torch.zeros(FLAGS, device=device)
        for place, flag in ((0, self.unreadable), (1, self.save), (2 + self.signal, self.signal)):
            if flag:
                flags_F[place].fill_(1)
        return flags_F

    @classmethod
    def decode(cls, sums: Sequence[float]) -> Self:
        """Return what processes have agreed on, given the sums over all of them."""
        signals = [number for number, count in enumerate(sums[2:]) if count]
        return cls(unreadable=sums[0] > 0, save=sums[1] > 0, signal=max(signals, default=0))

    def followed_by(self, later: Self) -> Self:
        """Return what is agreed on after a later step: its own, and a checkpoint that has not been saved yet."""
        return later._replace(save=later.save or self.save)


FLAGS = 2 + _SIGNALS
"""Number of flags of a `Ballot`."""


class HostCopy:
    """A copy of a small tensor on the host, which waits for it only when it is read."""

    def __init__(self, x_F: Tensor) -> None:
        self._copied: torch.cuda.Event | None = None
        self._x_F = x_F.to("cpu", non_blocking=x_F.is_cuda)
        if x_F.is_cuda:
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()

    def read(self) -> list[float]:
        """Return the values."""
        if self._copied is not None:
            self._copied.synchronize()
        values: list[float] = self._x_F.tolist()
        return values


class StepWindows(NamedTuple):
    """The B windows of this process in a step, to name them if the step is not sound."""

    clip_B: Tensor
    start_B: Tensor
    """[s]"""
    finite_KB: Tensor
    """[K, B] bool, whether the embeddings of a window are finite, for each of K modalities."""

    def names(self, clips: Sequence[str]) -> list[str]:
        """Return the clip and the start time of each window, given the names of all clips."""
        pairs = zip(self.clip_B.tolist(), self.start_B.tolist(), strict=True)
        return [f"{clips[clip]} at {start:.3f} s" for clip, start in pairs]


class PendingStep(NamedTuple):
    """A step whose gradients are computed and which the optimizer has not taken yet."""

    windows: StepWindows
    """This process's windows."""
    shares: dict[str, Tensor]
    """This process's share of the loss of each term, not weighted, [], detached; their sum is that of all processes."""


class Outcome(NamedTuple):
    """A step that is in the queue of the device."""

    where: str
    """Epoch and step, as text."""
    values: HostCopy
    """Loss, gradient norm, scale of fp16's gradient scaler (0 without), and the flags of all processes, see `Ballot`.
    """
    windows: StepWindows


class WeightsBefore:
    """The weights before the last step, in memory that is allocated once."""

    def __init__(self) -> None:
        self._weights: list[Tensor] = []
        self._kept: list[Tensor] = []

    @torch.no_grad()
    def keep(self, weights: list[Tensor]) -> None:
        """Copy the weights before a step."""
        if not self._kept:
            self._weights, self._kept = weights, [torch.empty_like(weight) for weight in weights]
        torch._foreach_copy_(self._kept, weights)

    @torch.no_grad()
    def restore(self) -> None:
        """Set the weights to what they were; without a copy, no step was taken since."""
        if self._kept:
            torch._foreach_copy_(self._weights, self._kept)


class Substitute:
    """A batch that a process computes with when its own cannot be read, because the others wait for its gradients."""

    def __init__(self, batch: TrainingBatch) -> None:
        """Keep the first window of a batch that was read."""
        self._window = batch.of(torch.zeros(1, dtype=torch.int64))
        self._rows = len(batch.windows.window_B)

    def batch(self) -> TrainingBatch:
        """Return the window as often as a batch has windows."""
        return self._window.of(torch.zeros(self._rows, dtype=torch.int64))
