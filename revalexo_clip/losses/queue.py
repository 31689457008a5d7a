"""A queue of the vectors of earlier training steps, which a loss compares with those of the batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from revalexo_clip.losses.base import LossModule


class WithQueue(LossModule):
    """A loss with a queue of unit vectors, of which the oldest are overwritten. Call `add_queue` once.

    The queue is saved with the parameters, as bits: buffers of integers are neither converted to another precision nor
    averaged, over steps or over processes.
    """

    size: int
    """Vectors in a full queue, Q."""
    pushed: Tensor
    """[] int64, number of windows that were pushed since the start of the training."""
    _count: int | None
    """`pushed` on the host, which would have to wait for a device to read it; None until it was read once."""

    def add_queue(self, size: int, *names: str) -> None:
        """Register a buffer of vectors for each name: [Q, D] int32, the bits of float32; [0] before the first step."""
        self.size = size
        for name in names:
            self.register_buffer(name, torch.zeros(0, dtype=torch.int32))
        self.register_buffer("pushed", torch.tensor(0))
        self._count = None

    @property
    def is_full(self) -> bool:
        """Whether the queue is full."""
        if self._count is None:
            self._count = int(self.pushed)
        return self._count >= self.size

    @torch.no_grad()
    def push(self, vectors: Mapping[str, Tensor]) -> Tensor:
        """Push vectors [N, D] into the buffers of these names; return the places [n] of the newest n <= Q of them."""
        count = min(self.size, *map(len, vectors.values()))
        place_n = (self.pushed + torch.arange(count, device=self.pushed.device)) % self.size
        for name, x_ND in vectors.items():
            if not self.get_buffer(name).numel():
                setattr(self, name, self.pushed.new_zeros(self.size, x_ND.shape[1], dtype=torch.int32))
            newest_nD = x_ND[len(x_ND) - count :]
            self.get_buffer(name)[place_n] = newest_nD.float().contiguous().view(torch.int32)
        self.pushed += count
        if self._count is not None:
            self._count += count
        return place_n

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Allocate the queue, whose size is known from the first step on; one of another length starts anew."""
        self._count = None
        saved = {name: state_dict[prefix + name] for name, _ in self.named_buffers() if prefix + name in state_dict}
        if any(buffer.numel() and len(buffer) != self.size for buffer in saved.values() if buffer.ndim):
            state_dict.update({prefix + name: buffer for name, buffer in self.named_buffers()})
        else:
            for name, buffer in saved.items():
                if buffer.shape != self.get_buffer(name).shape:
                    setattr(self, name, torch.zeros_like(buffer, device=self.pushed.device))
        super()._load_from_state_dict(state_dict, prefix, *args)
