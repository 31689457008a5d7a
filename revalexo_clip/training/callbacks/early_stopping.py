"""."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightning.pytorch.callbacks import Callback, EarlyStopping

from revalexo_clip.config.base import TrainerConfig


@dataclass(frozen=True)
class Monitored:
    """A metric that checkpoints are chosen by."""

    name: str
    best: Literal["min", "max"]
    least: float = 0.0
    """Improvement that early stopping takes for one."""


LOSS = Monitored("val/loss", "min")


def early_stopping(config: TrainerConfig, monitored: Monitored) -> list[Callback]:
    """What stops a run early: nothing, unless the experiment asks for it."""
    if config.early_stopping is None:
        return []
    return [
        _EarlyStopping(
            monitor=monitored.name, mode=monitored.best, min_delta=monitored.least, patience=config.early_stopping
        )
    ]


class _EarlyStopping(EarlyStopping):
    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """What it has seen, with the patience that the experiment has now."""
        super().load_state_dict({**state_dict, "patience": self.patience})
