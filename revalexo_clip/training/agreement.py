"""How processes that train together fail together: with one message, and without any left waiting for another.

A process that raised on its own would leave the others in a collective operation that never ends, or that ends with
the words of a network library. What can be foreseen is therefore agreed on before it is raised.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import torch
import torch.distributed as dist

from revalexo_clip.core.errors import UserError
from revalexo_clip.training.distributed import gather, rank, world_size

LOST = "another of the training processes ended; if it said why, that is above, else it was killed"

_SIGNS = ("closed by peer", "reset by peer", "broken pipe", "remote process exited", "connection was likely closed")
"""What gloo, NCCL and torch's store say, among much else, when a process at the other end is gone."""


def raise_together(error: UserError | None, device: torch.device) -> None:
    """Raise the first error that any process brings. All have to call it, those without an error too."""
    if world_size() == 1:
        if error is not None:
            raise error
        return
    if not gather(torch.tensor([error is not None], device=device)).any():
        return
    errors: list[UserError | None] = [None] * world_size()
    dist.all_gather_object(errors, error)
    fail(next(found for found in errors if found is not None))


def largest(numbers: list[int], device: torch.device) -> list[int]:
    """The largest that any process brings, place by place. All have to call it."""
    if world_size() == 1:
        return numbers
    found: list[int] = gather(torch.tensor([numbers], device=device)).max(dim=0).values.tolist()
    return found


def fail(error: UserError) -> NoReturn:
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
        fail(UserError(LOST))


_silent = threading.Lock()


def speak() -> bool:
    """Whether nobody in this process has yet said that another one ended. From then on, somebody has."""
    return _silent.acquire(blocking=False)
