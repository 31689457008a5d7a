"""Rows from all processes, in rank order, with the gradient that a single process would have.

How processes that train together fail together: with one message, and without any left waiting for another.

A process that raised on its own would leave the others in a collective operation that never ends, or that ends with
the words of a network library. What can be foreseen is therefore agreed on before it is raised.

The processes that a run starts on its machine end with it, and it with them: none is left, and none goes unsaid.

Lightning watches them too, and where one fails it kills the first process before that has spoken.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, cast

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from torch import Tensor
from torch.autograd.function import FunctionCtx

from revalexo_clip.core.errors import UserError


def world_size() -> int:
    """Processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of the training processes this is."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def part() -> None:
    """Leave the other processes: what follows is done by each on its own."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def gather(x_B: Tensor) -> Tensor:
    """[B, ...] on each process -> [N, ...] on all. No gradient; B may differ between processes."""
    return x_B if world_size() == 1 else torch.cat(_parts(x_B))


def gather_with_gradient(x_BD: Tensor) -> Tensor:
    """[B, D] on each process -> [N, D] on all, differentiable; B may differ between processes.

    Every process must compute the same loss from what it gets. DDP then averages parameter gradients over the W
    processes, each of which sees only the part of the gradient that flows through its own rows; so the backward
    pass hands those rows W times their gradient, and the average is the gradient of that one loss.
    """
    return x_BD if world_size() == 1 else cast("Callable[[Tensor], Tensor]", _Gather.apply)(x_BD)


def _parts(x_B: Tensor) -> list[Tensor]:
    """The rows of each process."""
    own = torch.tensor([len(x_B)], device=x_B.device)
    sizes = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(sizes, own)
    rows = [int(size) for size in sizes]
    padded = x_B.new_zeros((max(rows), *x_B.shape[1:]))
    padded[: len(x_B)] = x_B
    parts = [torch.empty_like(padded) for _ in rows]
    dist.all_gather(parts, padded)
    return [part[:size] for part, size in zip(parts, rows, strict=True)]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Rows, x_BD: Tensor) -> Tensor:
        parts = _parts(x_BD)
        first = sum(len(part) for part in parts[: rank()])
        ctx.own = slice(first, first + len(x_BD))
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: _Rows, *grads: Tensor) -> Tensor:
        return grads[0][ctx.own] * world_size()


class _Rows(FunctionCtx):
    own: slice
    """Where a process's rows are among all."""


LOST = "another of the training processes ended; if it said why, that is above, else it was killed"

_SIGNS = ("closed by peer", "reset by peer", "broken pipe", "remote process exited", "connection was likely closed")
"""What gloo, NCCL and torch's store say, among much else, when a process at the other end is gone."""


def raise_on_all_ranks(error: UserError | None, device: torch.device) -> None:
    """Raise the first error that any process brings. All have to call it, those without an error too."""
    if world_size() == 1:
        if error is not None:
            raise error
        return
    if not gather(torch.tensor([error is not None], device=device)).any():
        return
    errors: list[UserError | None] = [None] * world_size()
    dist.all_gather_object(errors, error)
    fail_on_all_ranks(next(found for found in errors if found is not None))


def largest(numbers: list[int], device: torch.device) -> list[int]:
    """The largest that any process brings, place by place. All have to call it."""
    if world_size() == 1:
        return numbers
    found: list[int] = gather(torch.tensor([numbers], device=device)).max(dim=0).values.tolist()
    return found


def fail_on_all_ranks(error: UserError) -> NoReturn:
    """Raise an error that every process has. The first one tells the user; the others leave without a word.

    They leave with exit code 0: at any other one, Lightning kills the first process, maybe before it has spoken.
    """
    if rank() == 0:
        raise error
    raise SystemExit(0)


@contextmanager
def connected() -> Iterator[None]:
    """Turn the loss of another process, which then has spoken for itself or was killed, into a plain message."""
    try:
        yield
    except RuntimeError as error:
        if world_size() == 1 or not any(words in str(error).lower() for words in _SIGNS):
            raise
        if rank() == 0 and not speak():
            raise SystemExit(1) from error
        fail_on_all_ranks(UserError(LOST))


_silent = threading.Lock()


def speak() -> bool:
    """Whether nobody in this process has yet said that another one ended. From then on, somebody has."""
    return _silent.acquire(blocking=False)


_INTERVAL = 0.2
"""How often to look [s]."""


class PeerMonitor(pl.Callback):
    """Lets the first process of a machine watch those that Lightning started beside it, and those watch the first."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Begin to watch."""
        launcher = trainer.strategy.launcher
        if isinstance(launcher, _SubprocessScriptLauncher) and launcher.procs:
            children = list(launcher.procs)
            launcher.procs.clear()  # Lightning's observer holds the same list, and finds nothing to do
            threading.Thread(target=_watch, args=(children,), daemon=True).start()


def leave_with_parent() -> None:
    """End this process, one that a run started, when the process that started it is gone."""
    threading.Thread(target=_wait_for_end_of, args=(os.getppid(),), daemon=True).start()


def _wait_for_end_of(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_INTERVAL)
    os._exit(1)


def _watch(children: list[subprocess.Popen[bytes]]) -> None:
    while any(child.poll() is None for child in children):
        failed = next((child for child in children if child.returncode), None)
        if failed is not None:
            break
        time.sleep(_INTERVAL)
    failed = next((child for child in children if child.returncode), None)
    if failed is None:
        return
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
    if speak():
        how = f" by {signal.Signals(-failed.returncode).name}" if failed.returncode < 0 else ""
        cursor = "\x1b[?25h" if os.isatty(2) else ""  # which a progress bar hides
        os.write(2, f"{cursor}error: {LOST}{how}\n".encode())
        os._exit(1)
