"""Running out of memory, in words that say what to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from revalexo_clip.config.base import Experiment
from revalexo_clip.core.errors import UserError

_CPU = ("can't allocate memory", "not enough memory")
"""What torch says where the machine's memory is full; it has no error of its own for that."""
_WORKER = ("killed by signal", "exited unexpectedly", "insufficient shared memory")
"""What it says of a loader process that is gone; nearly always for want of memory."""


@contextmanager
def enough_memory(experiment: Experiment, frames: int) -> Iterator[None]:
    """Around a training: raises `UserError` where the memory of the device, of the machine or of a loader is used up.

    `frames` are those of a window, 0 where there is no video.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise UserError(_what_to_change(experiment, frames, error)) from error
    except RuntimeError as error:
        if any(words in str(error) for words in _CPU):
            raise UserError(_what_to_change(experiment, frames, error)) from error
        if "DataLoader worker" in str(error) and any(words in str(error) for words in _WORKER):
            raise UserError(
                f"a loader process ended ({_first_line(error)}), as they do where memory is short; lower data.workers "
                f"(now {experiment.data.workers})"
            ) from error
        raise


def _what_to_change(experiment: Experiment, frames: int, error: Exception) -> str:
    part = experiment.micro_batch or f"none: {experiment.batch_size} windows at once, over all devices"
    of_video = f"  --set data.frames=...        video frames in a window (now {frames})" if frames else ""
    return (
        f"out of memory ({_first_line(error)}). What takes less, the first choice first:\n"
        f"  --set micro_batch=...        windows that a device encodes at a time (now {part})\n"
        f"  --set trainer.precision=...  bf16-mixed, or 16-mixed on older GPUs (now {experiment.trainer.precision})\n"
        f"{of_video}"
    ).rstrip()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip()
