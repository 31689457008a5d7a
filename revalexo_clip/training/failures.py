"""Failures of a training that the user can act on: divergence, running out of memory, errors in own components.

A step whose loss or gradient is not finite ends the run before the optimizer takes it, so the weights stay valid.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist

from revalexo_clip.config.base import Experiment
from revalexo_clip.config.loading import experiment_files
from revalexo_clip.core.errors import UserError
from revalexo_clip.runs.log import note
from revalexo_clip.training.distributed import world_size

_NAMED = 8
"""Number of windows that the message lists; a batch may have hundreds."""


def finite(loss: float, norm: float, scale: float) -> bool:
    """Return whether a step is sound, given its loss, its gradient norm and the `scale` of fp16's gradient scaler.

    A gradient that is not finite is left to the gradient scaler, which skips the step, unless the scale is 1 or less:
    then the scaling is not the cause; it is 0 without a scaler. Loss and norm are the same on all processes, so all
    return the same.
    """
    return math.isfinite(loss) and (math.isfinite(norm) or scale > 1)


def diverged(
    where: str, loss: float, norm: float, windows: list[str], finite_KB: Sequence[Sequence[bool]]
) -> UserError:
    """Return the error for a step that is not finite. All processes must call it.

    `windows` are the names of this process's windows, `finite_KB` says whether the embeddings of each are finite: those
    of IMU, and of video if there is any.
    """
    bad = {
        modality: [name for name, sound in zip(windows, finite_B, strict=True) if not sound]
        for modality, finite_B in zip(("IMU", "video"), finite_KB, strict=False)
    }
    found: list[tuple[dict[str, list[str]], list[str]]] = [(bad, windows)]
    if world_size() > 1:
        found = [found[0]] * world_size()
        dist.all_gather_object(found, (bad, windows))
    batch = [name for _, own in found for name in own]
    lines = [
        f"the {modality} embeddings are not finite of {_some(names) if len(names) < len(batch) else 'all windows'}"
        for modality in bad
        if (names := [name for parts, _ in found for name in parts[modality]])
    ] or [f"all embeddings are finite; the windows of the batch are {_some(batch)}"]
    return UserError(
        f"the training diverged: {where}, the loss is {loss:g} and the gradient norm {norm:g}\n"
        + "".join(f"  {line}\n" for line in lines)
        + "The step was not taken. Lower optim.lr or trainer.gradient_clip, or --set trainer.precision=32. If the "
        "same windows are listed each time, check their recordings"
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


_CPU = ("can't allocate memory", "not enough memory")
"""Parts of torch's messages if main memory is exhausted; there is no exception class for it."""

_WORKER = ("killed by signal", "exited unexpectedly", "insufficient shared memory")
"""Parts of torch's messages if a loader process ended, nearly always because memory was exhausted."""


@contextmanager
def enough_memory(experiment: Experiment, frames: int) -> Iterator[None]:
    """Raise `UserError` if a training exhausts the memory of the device, of the machine or of a loader process.

    `frames` is the number of frames of a window, 0 if there is no video.
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
                f"a loader process ended ({_first_line(error)}), probably because memory is exhausted; lower "
                f"data.workers (now {experiment.data.workers})"
            ) from error
        raise


@contextmanager
def own_code_named(log_file: Path | None = None) -> Iterator[None]:
    """Raise `UserError`, naming the line, if code of an experiment file fails; any other exception stays as it is.

    The traceback is written to `log_file`, the log of the run, if there is one.
    """
    try:
        yield
    except UserError as error:
        if isinstance(error.__cause__, Exception):
            _note_traceback(error)
        raise
    except Exception as error:  # a user's component may raise anything: report it with its line
        _note_traceback(error)
        place = _own_line(error)
        if place is None:
            raise
        where = "see it with rxclip --debug" if log_file is None else f"it is in {log_file}"
        raise UserError(
            f"{place}: {type(error).__name__}: {_first_line(error)}\nThe code of the experiment file was running. For "
            f"the traceback, {where}"
        ) from error


def _note_traceback(error: Exception) -> None:
    note("".join(traceback.format_exception(error)).rstrip())


def _own_line(error: Exception) -> str | None:
    """Return file, line and function of the last frame in an experiment file, or in a file beside it; None if none."""
    files = {str(path.resolve()) for path in experiment_files()}
    folders = {str(Path(file).parent) for file in files}
    package = str(Path(__file__).resolve().parents[1])
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        beside = str(Path(frame.filename).parent) in folders and not frame.filename.startswith(package)
        if frame.filename in files or beside:
            return f"{frame.filename}:{frame.lineno}, in {frame.name}"
    return None


def _what_to_change(experiment: Experiment, frames: int, error: Exception) -> str:
    part = experiment.micro_batch or f"none: {experiment.batch_size} windows at once, over all devices"
    of_video = f"  --set data.frames=...        video frames in a window (now {frames})" if frames else ""
    return (
        f"out of memory ({_first_line(error)}). To use less memory, best choice first:\n"
        f"  --set micro_batch=...        windows that a device encodes at once (now {part})\n"
        f"  --set trainer.precision=...  bf16-mixed, or 16-mixed on older GPUs (now {experiment.trainer.precision})\n"
        f"{of_video}"
    ).rstrip()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip()
