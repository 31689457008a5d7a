"""Lightning's trainer, as an experiment describes it.

The devices of a run: what Lightning says where they are not there, and how processes share a CPU's cores.

torch.compile for the encoders.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.io import CheckpointIO
from torch import nn

from revalexo_clip.config.base import TrainerConfig
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.jobs.task import RUNS_HERE
from revalexo_clip.models.encoders.checkpointing import is_recomputed


@contextmanager
def devices_available() -> Iterator[None]:
    """Around the making of a trainer: raises `ConfigError` where this machine lacks the devices it is to have."""
    try:
        yield
    except MisconfigurationException as error:
        raise ConfigError(
            f"trainer: {error} (this machine cannot run with trainer.accelerator and trainer.devices as they are; "
            "--set trainer.accelerator=cpu runs anywhere)"
        ) from error


def share_cores(processes: int, workers: int) -> None:
    """Give torch the cores that other runs, other training processes and this one's loader workers leave to it.

    Threads that wait for one that has lost its core to a worker spin, and small encoders then train several times
    slower. A user's own OMP_NUM_THREADS stays.
    """
    if "OMP_NUM_THREADS" not in os.environ or processes > 1:  # Lightning sets it for the processes that it starts
        processes *= int(os.environ.get(RUNS_HERE, "1"))
        torch.set_num_threads(max(len(os.sched_getaffinity(0)) // processes - workers, 1))


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


def resolved_precision(config: TrainerConfig) -> Literal["32", "32-true", "bf16-mixed", "16-mixed"]:
    """What `auto` stands for on this machine."""
    if config.precision != "auto":
        return config.precision
    if config.accelerator == "cpu" or not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


_COMPILERS = ("g++", "clang++", "c++")


def compile_encoders(model: nn.Module, encoders: Iterable[nn.Module]) -> None:
    """Have the encoders of a model compiled when they are first called. Names of weights stay, and so do checkpoints.

    Heads and loss stay as they are: there is nothing to gain, and processes talk to each other there.
    Raises `ConfigError` where there is no compiler for what torch writes, or where an encoder uses gradient
    checkpointing, which torch cannot compile together with batch norm's statistics.
    """
    if any(is_recomputed(module) for module in model.modules()):
        raise ConfigError(
            "trainer.compile: torch.compile and gradient checkpointing do not go together; "
            "--set trainer.compile=false, or gradient_checkpointing=false for the encoder"
        )
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), *_COMPILERS) if name):
        raise ConfigError(
            "trainer.compile: torch.compile needs a C++ compiler, and there is none here: install g++, name one in the "
            "environment variable CXX, or --set trainer.compile=false"
        )
    for encoder in encoders:
        encoder.compile()
