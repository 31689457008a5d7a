"""The devices of a run: what Lightning says where they are not there, and how processes share a CPU's cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from revalexo_clip.core.errors import ConfigError

RUNS_HERE = "RXCLIP_RUNS_HERE"
"""In the environment of a run, how many run on its machine at a time."""


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
