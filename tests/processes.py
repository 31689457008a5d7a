"""Two real processes, joined as those of a distributed training are."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist

RankTask = Callable[[], object]


def in_two_processes(task: RankTask, folder: Path) -> list[object]:
    """What `task` returns in each of two processes that are joined by gloo."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_run, args=(rank, task, folder), daemon=True) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0, "it hangs" if process.exitcode is None else "it crashed"
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


def _run(rank: int, task: RankTask, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    torch.save(task(), folder / f"{rank}.pt")
    os._exit(0)  # a task may have lost its peer, and gloo's threads abort a process that then ends in the usual way
