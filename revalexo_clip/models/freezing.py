"""Modules of which some parts are not trained, or not yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from torch import nn


class PartlyFrozen(nn.Module):
    """Keeps parts of itself in eval mode, whatever the rest does: statistics there stay, and nothing is dropped."""

    def __init__(self) -> None:
        super().__init__()
        self._resting: frozenset[str] = frozenset()

    def freeze(self, parts: Iterable[nn.Module]) -> None:
        """Take parts out of training for good, beside those that are: they get no gradients, and stay in eval mode."""
        inside = list(parts)
        for part in inside:
            part.requires_grad_(requires_grad=False)
        self._rest(self._resting | self._names(inside))

    def rest(self, parts: Iterable[nn.Module]) -> None:
        """Let these parts and no others stay in eval mode from now on."""
        self._rest(self._names(parts))

    def parameters_at_rest(self) -> list[nn.Parameter]:
        """Those of what is kept in eval mode."""
        return [parameter for name in self._resting for parameter in self.get_submodule(name).parameters(recurse=False)]

    def train(self, mode: bool = True) -> Self:
        """As any module, but for what is frozen."""
        super().train(mode)
        for name in self._resting:  # names, because Lightning replaces batch norm where it is to be synchronised
            self.get_submodule(name).training = False
        return self

    def _names(self, parts: Iterable[nn.Module]) -> frozenset[str]:
        inside = {module for part in parts for module in part.modules()}
        return frozenset(name for name, module in self.named_modules() if module in inside)

    def _rest(self, names: frozenset[str]) -> None:
        self._resting = names
        self.train(self.training)
