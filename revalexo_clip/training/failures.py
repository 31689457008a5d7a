"""A step whose loss or gradient is no finite number ends the run before it can spoil the weights.

Running out of memory, in words that say what to change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from revalexo_clip.config.base import Experiment
from revalexo_clip.core.errors import UserError
from revalexo_clip.training.distributed import world_size

_NAMED = 8
"""Windows that the message names; a batch may hold hundreds."""


def finite(loss: Tensor, norm: Tensor, scaler: torch.amp.GradScaler | None) -> bool:
    """Whether a step may be taken, or be left to fp16's gradient scaler, which passes over steps that overflow.

    A gradient that is not finite at a scale of 1 or less is not the scaling's fault. Loss and norm are the same on all
    processes, so that all come to the same answer.
    """
    if torch.stack([loss, norm]).isfinite().all():
        return True
    return scaler is not None and bool(loss.isfinite()) and scaler.get_scale() > 1


def diverged(
    where: str, loss: Tensor, norm: Tensor, windows: list[str], embed: Callable[[], tuple[Tensor, Tensor]]
) -> UserError:
    """The error for such a step. All processes have to call it.

    `windows` names those of this process's batch, which `embed` embeds again: [B, D] of IMU and of video.
    """
    with torch.no_grad():
        sound_B = [embedding_BD.isfinite().all(dim=1).tolist() for embedding_BD in embed()]
    bad = {
        modality: [name for name, sound in zip(windows, found_B, strict=True) if not sound]
        for modality, found_B in zip(("IMU", "video"), sound_B, strict=True)
    }
    found: list[tuple[dict[str, list[str]], list[str]]] = [(bad, windows)]
    if world_size() > 1:
        found = [found[0]] * world_size()
        dist.all_gather_object(found, (bad, windows))
    batch = [name for _, own in found for name in own]
    lines = [
        f"not finite are the {modality} embeddings of {_some(names) if len(names) < len(batch) else 'all its windows'}"
        for modality in ("IMU", "video")
        if (names := [name for parts, _ in found for name in parts[modality]])
    ] or [f"all embeddings are finite; the batch was {_some(batch)}"]
    return UserError(
        f"the training diverged: {where}, the loss is {loss:g} and the gradient's norm {norm:g}\n"
        + "".join(f"  {line}\n" for line in lines)
        + "The step was not taken. Lower optim.lr or trainer.gradient_clip, or --set trainer.precision=32; if the "
        "windows are always the same, look at their recordings"
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


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
