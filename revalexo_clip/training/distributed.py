"""Training processes: gathering rows from all of them, failing together, and ending together.

If one process raised an error on its own, the others would wait forever in a collective operation, or end with the
message of a network library. Therefore all processes exchange expected errors, and raise the same one, which the user
sees once.

The processes that a run starts on its machine end when it ends, and it ends when one of them fails. Lightning watches
them too, but it kills the first process before that can print a message.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
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
    """Return the number of training processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def leave_process_group() -> None:
    """Disconnect from the other processes after training."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def gather(x_B: Tensor, sizes: Sequence[int] | None = None) -> Tensor:
    """Gather [B, ...] on each process to [N, ...] on all, in rank order. No gradient; B may differ.

    `sizes` are the B of all processes; without them, the processes tell each other.
    """
    return x_B if world_size() == 1 else torch.cat(_parts(x_B, sizes or _sizes(x_B)))


@torch.no_grad()
def reduce_over_ranks(summed_F: Tensor, averaged: Sequence[Tensor] = ()) -> Tensor:
    """Return the sum of [F] values over all processes, and replace each tensor of `averaged` by its average.

    All in one operation, and on all processes. They have the same shapes everywhere. Values that are already equal do
    not change, not even by rounding: float64, in which they are added up, has 29 bits more than float32.
    """
    if world_size() == 1:
        return summed_F
    packed = torch.cat([summed_F.double(), *(tensor.flatten() for tensor in averaged)])
    dist.all_reduce(packed)
    total_F, *sums = torch.split(packed, [len(summed_F), *(tensor.numel() for tensor in averaged)])
    if averaged:
        averages = [total.div_(world_size()).view_as(tensor) for total, tensor in zip(sums, averaged, strict=True)]
        torch._foreach_copy_(list(averaged), averages)
    return total_F


def gather_with_gradient(x_BD: Tensor, sizes: Sequence[int]) -> Tensor:
    """Gather [B, D] on each process to [N, D] on all, in rank order. Differentiable.

    `sizes` are the B of all processes. Every process may compute another loss of the result: the backward pass, which
    all must run, adds up the gradients of all processes, and each continues with those of its own rows. The sum of a
    parameter's gradients over processes is then its gradient of the sum of the losses. DDP takes their mean instead, so
    each loss must be multiplied by the number of processes.
    """
    return x_BD if world_size() == 1 else cast("Callable[[Tensor, Sequence[int]], Tensor]", _Gather.apply)(x_BD, sizes)


def _sizes(x_B: Tensor) -> list[int]:
    """Return the number of rows of each process."""
    own = torch.tensor([len(x_B)], device=x_B.device)
    sizes = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(sizes, own)
    return [int(size) for size in sizes]


def _parts(x_B: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Return the rows of each process."""
    padded = x_B.new_zeros((max(sizes), *x_B.shape[1:]))
    padded[: len(x_B)] = x_B
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    return [part[:size] for part, size in zip(parts, sizes, strict=True)]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Rows, x_BD: Tensor, sizes: Sequence[int]) -> Tensor:
        first = sum(sizes[: rank()])
        ctx.own = slice(first, first + len(x_BD))
        return torch.cat(_parts(x_BD, sizes))

    @staticmethod
    def backward(ctx: _Rows, *grads: Tensor) -> tuple[Tensor, None]:
        total_ND = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total_ND)
        return total_ND[ctx.own], None


class _Rows(FunctionCtx):
    own: slice
    """Position of the process's rows among all rows."""


LOST = "another training process ended; its message is above, or else it was killed"

_SIGNS = ("closed by peer", "reset by peer", "broken pipe", "remote process exited", "connection was likely closed")
"""Parts of the messages of gloo, NCCL and torch's store when another process has ended."""


def raise_on_all_ranks(error: UserError | None, device: torch.device) -> None:
    """Raise the first error of any process. All processes must call it, also those without an error."""
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
    """Return the elementwise maximum over all processes. All of them must call it."""
    if world_size() == 1:
        return numbers
    found: list[int] = gather(torch.tensor([numbers], device=device)).max(dim=0).values.tolist()
    return found


def fail_on_all_ranks(error: UserError) -> NoReturn:
    """Raise an error that all processes have. The first process raises it; the others exit without a message.

    They exit with code 0: at any other code, Lightning kills the first process, possibly before it prints the error.
    """
    if rank() == 0:
        raise error
    raise SystemExit(0)


@contextmanager
def connected() -> Iterator[None]:
    """Replace the error of a lost connection by a plain message: another process failed or was killed."""
    try:
        yield
    except RuntimeError as error:
        if world_size() == 1 or not any(words in str(error).lower() for words in _SIGNS):
            raise
        if rank() == 0 and not claim_message():
            raise SystemExit(1) from error
        fail_on_all_ranks(UserError(LOST))


_unreported = threading.Lock()


def claim_message() -> bool:
    """Return whether the caller is the first in this process to report that another one ended, and so must print it."""
    return _unreported.acquire(blocking=False)


_INTERVAL = 0.2
"""Interval between checks of other processes [s]."""


class PeerMonitor(pl.Callback):
    """Ends the first process of a machine, and all that Lightning started beside it, when one of these fails."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Start a thread that watches the other processes."""
        launcher = trainer.strategy.launcher
        if isinstance(launcher, _SubprocessScriptLauncher) and launcher.procs:
            children = list(launcher.procs)
            launcher.procs.clear()  # Lightning's own observer shares the list, and then has nothing to do
            threading.Thread(target=_watch, args=(children,), daemon=True).start()


def leave_with_parent(parent: int | None = None) -> None:
    """End this process when its parent, the first process of the run, has ended.

    If `parent` is given, the parent may have ended before.
    """
    threading.Thread(target=_wait_for_end_of, args=(os.getppid() if parent is None else parent,), daemon=True).start()


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
            child.kill()
    if claim_message():
        how = f" by {signal.Signals(-failed.returncode).name}" if failed.returncode < 0 else ""
        cursor = "\x1b[?25h" if os.isatty(2) else ""  # show the cursor, which a progress bar hides
        os.write(2, f"{cursor}error: {LOST}{how}\n".encode())
        os._exit(1)
