"""The metric that checkpoints are chosen by, and early stopping on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightning.pytorch.callbacks import Callback, EarlyStopping

from revalexo_clip.config.base import TrainerConfig
from revalexo_clip.runs.resume_state import EARLY_STOPPING


@dataclass(frozen=True)
class Monitored:
    """The metric that checkpoints are chosen by."""

    name: str
    best: Literal["min", "max"]
    least: float = 0.0
    """Smallest change that early stopping counts as an improvement."""


LOSS = Monitored("val/loss", "min")
MRR = Monitored("val/mrr", "max", least=0.001)
LAST = Monitored("val/epoch", "max")
"""The number of the epoch: the last one is the best."""


def early_stopping(config: TrainerConfig, monitored: Monitored) -> list[Callback]:
    """Return the callback that stops a run early, if the experiment asks for it."""
    if config.early_stopping is None:
        return []
    return [
        _EarlyStopping(
            monitor=monitored.name, mode=monitored.best, min_delta=monitored.least, patience=config.early_stopping
        )
    ]


class _EarlyStopping(EarlyStopping):
    state_key = EARLY_STOPPING

    def load_state_dict(self, state_dict: dict[str, object]) -> None:
        """Restore the state of the checkpoint, with the patience of the present experiment."""
        super().load_state_dict({**state_dict, "patience": self.patience})
