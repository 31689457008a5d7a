"""Lightning's trainer of an experiment, the devices and CPU cores of a run, and the forms that encoders take."""

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
from lightning.pytorch.accelerators import CPUAccelerator, CUDAAccelerator
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.io import CheckpointIO
from torch import nn

from revalexo_clip.config.base import Experiment, TrainerConfig
from revalexo_clip.core.errors import ConfigError, UserError
from revalexo_clip.core.platform import cpu_count
from revalexo_clip.jobs.task import RUNS_HERE
from revalexo_clip.models.encoders.base import use_channels_last
from revalexo_clip.models.encoders.checkpointing import is_recomputed
from revalexo_clip.optim import ByPlace
from revalexo_clip.training.distributed import raise_on_all_ranks


@contextmanager
def devices_available() -> Iterator[None]:
    """Raise `ConfigError` if Lightning does not find the devices of a trainer."""
    try:
        yield
    except MisconfigurationException as error:
        raise ConfigError(
            f"trainer: {error} (this machine does not have the devices of trainer.accelerator and trainer.devices; "
            "--set trainer.accelerator=cpu works anywhere)"
        ) from error


def share_cores(processes: int, workers: int) -> None:
    """Limit torch's threads to the cores that other runs, other processes and the loader workers leave free.

    If a worker displaces one thread from its core, the others spin while they wait, and small encoders train several
    times slower. OMP_NUM_THREADS takes precedence if the user sets it.
    """
    if "OMP_NUM_THREADS" not in os.environ or processes > 1:  # Lightning sets it in processes that it starts
        processes *= int(os.environ.get(RUNS_HERE, "1"))
        torch.set_num_threads(max(cpu_count() // processes - workers, 1))


class AgreeingTrainer(pl.Trainer):
    """Lightning's trainer; if the first process cannot write a checkpoint, all processes raise its error."""

    def save_checkpoint(
        self, filepath: str | Path, weights_only: bool | None = None, storage_options: object | None = None
    ) -> None:
        """Save a checkpoint. All processes call it; the first one writes. Raises `UserError`."""
        failure: UserError | None = None
        try:
            super().save_checkpoint(filepath, weights_only, storage_options)
        except UserError as error:
            failure = error
            self.strategy.barrier("Trainer.save_checkpoint")  # the others wait there
        raise_on_all_ranks(failure, self.strategy.root_device)


def build_trainer(
    config: TrainerConfig,
    callbacks: list[Callback],
    *,
    loggers: list[Logger],
    checkpoint_io: CheckpointIO | None = None,
    folder: Path | None = None,
    batches: int = 0,
) -> pl.Trainer:
    """Build Lightning's trainer. If `batches` is not 0, it trains and validates on that many and saves nothing.

    Raises `ConfigError` if this machine does not have the devices.
    """
    with devices_available():
        trainer = AgreeingTrainer(
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
            log_every_n_steps=0,  # `TrainingModule` logs steps
            callbacks=callbacks,
            logger=loggers or False,
            plugins=[checkpoint_io] if checkpoint_io else None,
            default_root_dir=folder,  # under SLURM, Lightning looks for checkpoints here
            fast_dev_run=batches,
            sync_batchnorm=config.sync_batchnorm,
            benchmark=config.cudnn_benchmark,
        )
    if isinstance(trainer.accelerator, CPUAccelerator):
        _check_cpu(config)
    elif isinstance(trainer.accelerator, CUDAAccelerator):
        _check_cuda(config)
    use_tf32(config.tf32)
    return trainer


def use_tf32(allowed: bool) -> None:
    """Choose the precision of float32 products and convolutions on GPUs, for the whole process.

    Torch has a newer interface, `fp32_precision`, but it raises an error in Lightning and in torch.compile, which still
    read these settings.
    """
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def _check_cpu(config: TrainerConfig) -> None:
    """Raise `ConfigError` for settings that need a GPU. Lightning would silently use bf16 instead of fp16."""
    if config.precision == "16-mixed":
        raise ConfigError("trainer.precision: 16-mixed needs a GPU; use 32 or bf16-mixed on a CPU")
    if config.sync_batchnorm:
        raise ConfigError(
            "trainer.sync_batchnorm: torch synchronises batch norm on GPUs only; set it to false on a CPU"
        )


def _check_cuda(config: TrainerConfig) -> None:
    """Raise `ConfigError` for settings that the GPU does not have. Torch would silently ignore them."""
    if config.tf32 and torch.cuda.get_device_capability() < TF32_CAPABILITY:
        raise ConfigError(
            f"trainer.tf32: {torch.cuda.get_device_name()} has no TF32, which needs compute capability 8.0 or newer; "
            "--set trainer.tf32=false"
        )


def check_fused(experiment: Experiment) -> None:
    """Raise `ConfigError` if the optimizer is fused and training is in fp16.

    A fused optimizer divides the gradients by the scale of fp16 inside its step; here, they are clipped before it.
    """
    fused = isinstance(experiment.optim, ByPlace) and experiment.optim.fused
    if fused and resolved_precision(experiment.trainer) == "16-mixed":
        raise ConfigError(
            "optim.fused: the fused optimizer cannot be combined with 16-mixed precision, whose gradients are clipped "
            "before its step; --set trainer.precision=bf16-mixed, or optim.fused=false"
        )


def check_sync_batchnorm(experiment: Experiment, processes: int) -> None:
    """Raise `ConfigError` if processes would encode different numbers of parts, and wait for each other forever."""
    if experiment.trainer.sync_batchnorm and experiment.micro_batch is not None and experiment.batch_size % processes:
        raise ConfigError(
            f"trainer.sync_batchnorm: with micro_batch, every device must encode the same number of windows, and "
            f"{experiment.batch_size} windows cannot be shared evenly by {processes} devices; change batch_size, or "
            "--set micro_batch=none"
        )


def resolved_precision(config: TrainerConfig) -> Literal["32", "32-true", "bf16-mixed", "16-mixed"]:
    """Return the precision, with `auto` resolved for this machine."""
    if config.precision != "auto":
        return config.precision
    if config.accelerator == "cpu" or not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


TF32_CAPABILITY = (8, 0)
"""Lowest CUDA compute capability with TF32 (Ampere)."""

_COMPILERS = ("g++", "clang++", "c++")


def prepare_encoders(config: TrainerConfig, model: nn.Module, encoders: Iterable[nn.Module]) -> None:
    """Apply `channels_last` and `compile` to the encoders of a model. Raises what `compile_encoders` raises."""
    encoders = list(encoders)
    if config.channels_last:
        for encoder in encoders:
            use_channels_last(encoder)
    if config.compile:
        compile_encoders(model, encoders)


def compile_encoders(model: nn.Module, encoders: Iterable[nn.Module]) -> None:
    """Compile the encoders of a model at their first call. Names of weights, and so checkpoints, do not change.

    Heads and loss are not compiled: it would not be faster, and processes communicate there. Raises `ConfigError` if
    there is no C++ compiler, or if an encoder uses gradient checkpointing, which torch cannot compile together with
    batch norm's statistics.
    """
    if any(is_recomputed(module) for module in model.modules()):
        raise ConfigError(
            "trainer.compile: torch.compile and gradient checkpointing cannot be combined; "
            "--set trainer.compile=false, or gradient_checkpointing=false for the encoder"
        )
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), *_COMPILERS) if name):
        raise ConfigError(
            "trainer.compile: torch.compile needs a C++ compiler: install g++, name a compiler in the environment "
            "variable CXX, or --set trainer.compile=false"
        )
    for encoder in encoders:
        encoder.compile()
