"""Real processes that are joined like those of a distributed training."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist

RankTask = Callable[[], object]


def in_processes(count: int, task: RankTask, folder: Path) -> list[object]:
    """Return the results of `task` in each of `count` processes that are joined by gloo."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_run, args=(rank, count, task, folder), daemon=True) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=300)
        assert process.exitcode == 0, "it hangs" if process.exitcode is None else "it crashed"
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(count)]


def _run(rank: int, count: int, task: RankTask, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=count)
    torch.save(task(), folder / f"{rank}.pt")
    os._exit(0)  # a task may have lost its peer, and gloo's threads abort a process that then ends in the usual way
