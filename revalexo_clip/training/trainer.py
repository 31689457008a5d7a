"""Lightning's trainer, as an experiment describes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.io import CheckpointIO

from revalexo_clip.config.base import TrainerConfig
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.training.callbacks.weight_averaging import Averaging
from revalexo_clip.training.devices import devices_available


def build_trainer(
    config: TrainerConfig,
    callbacks: list[Callback],
    *,
    loggers: list[Logger],
    checkpoint_io: CheckpointIO | None = None,
    folder: Path | None = None,
    batches: int = 0,
) -> pl.Trainer:
    """Lightning's trainer. `batches` runs that many of training and of validation, and writes nothing.

    Raises `ConfigError` where this machine lacks the devices it is to have.
    """
    with devices_available():
        trainer = pl.Trainer(
            max_epochs=config.max_epochs,
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.num_nodes,
            strategy=config.strategy,
            precision=resolved_precision(config),
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            callbacks=callbacks,
            logger=loggers or False,
            plugins=[checkpoint_io] if checkpoint_io else None,
            default_root_dir=folder,  # where Lightning, under SLURM, looks for a checkpoint that nobody named
            fast_dev_run=batches,
            sync_batchnorm=config.sync_batchnorm,
        )
    if isinstance(trainer.accelerator, CPUAccelerator):
        _check_cpu(config)
    return trainer


def _check_cpu(config: TrainerConfig) -> None:
    """Raise `ConfigError` for what runs on a GPU only. Lightning would take bf16 for fp16, and go on."""
    if config.precision == "16-mixed":
        raise ConfigError("trainer.precision: 16-mixed needs a GPU, and this is a CPU; it can do 32 and bf16-mixed")
    if config.sync_batchnorm:
        raise ConfigError("trainer.sync_batchnorm: torch synchronises batch norm on GPUs only, and this is a CPU")


def averaging(config: TrainerConfig) -> list[Callback]:
    """What averages the weights: nothing, unless the experiment asks for it."""
    return [] if config.average is None else [Averaging(config.average)]


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


def resolved_precision(config: TrainerConfig) -> Literal["32", "32-true", "bf16-mixed", "16-mixed"]:
    """What `auto` stands for on this machine."""
    if config.precision != "auto":
        return config.precision
    if config.accelerator == "cpu" or not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
