"""Networks that keep time: features of moments of a window, beside the features of the whole window."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Encoded(NamedTuple):
    """Output of a network that keeps time, for B windows."""

    features_BF: Tensor
    """[B, F] features of the whole window, which downstream tasks use."""
    sequence_BTE: Tensor
    """[B, T, E] features of T moments of the window."""
    frames_BKV: Tensor | None = None
    """[B, K, V] features of what single frames show, at K moments; None unless it is a video network that has them."""
    maps_BTP: Tensor | None = None
    """[B, T, P] features of the same T moments that the features of the window are read from; None if they are those of
    the sequence."""


class SequenceNet(nn.Module, ABC):
    """Base class of networks that give features of moments of a window. Its subclasses define `encode`."""

    time_T: Tensor
    """[T] float32 buffer, ascending: the moment of each feature of the sequence [s from the start of the window]. It is
    the centre of the input that the feature depends on; for a recurrent network, of its newest input."""
    sequence_dim: int
    """E, the number of features of each moment."""
    maps_dim: int = 0
    """P, the number of features of each moment that the features of the window are read from; 0 if it is E."""
    frame_times: tuple[float, ...] = ()
    """The K moments of the features of frames [s from the start of the window]; empty if there are none."""
    frame_dim: int = 0
    """V, the number of features of a frame."""
    _compiled: Callable[..., Encoded] | None = None

    @abstractmethod
    def encode(self, *inputs: Tensor) -> Encoded:
        """Compute features of the window and of its moments. Inputs are those of `forward`."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute features [B, F] of the window."""
        return self.encode(*inputs).features_BF

    def sequence(self, *inputs: Tensor) -> Encoded:
        """Return what `encode` returns; it is compiled if the network was compiled by `compile`."""
        return self.encode(*inputs) if self._compiled is None else self._compiled(*inputs)

    def compile(self, *args: object, **kwargs: object) -> None:
        """Compile `forward`, as every module, and `sequence`."""
        super().compile(*args, **kwargs)
        self._compiled = torch.compile(self.encode, *args, **kwargs)  # type: ignore[call-overload]

    def __getstate__(self) -> dict[str, object]:
        """Leave the compiled form out of copies, as every module does: it would run the weights of the original."""
        state: dict[str, object] = super().__getstate__()  # type: ignore[no-untyped-call]
        state.pop("_compiled", None)
        return state


class TakesMotion(nn.Module):
    """Mark a video network whose second input is measured motion [B, M, Y, X, 3], see `Sample.motion_MYX3`."""
