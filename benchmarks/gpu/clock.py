"""Time and memory of steps that take turns, on a GPU or a CPU."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch


class Cost(NamedTuple):
    """Cost of a step: median time [s], and peak memory above what was allocated before it [bytes], None on a CPU."""

    seconds: float
    memory: int | None


def measure(
    steps: Mapping[str, Callable[[], object]], device: torch.device, *, rounds: int, warm_up: int
) -> dict[str, Cost]:
    """Take all steps in turn, `warm_up` rounds and then `rounds` that count, and return the cost of each."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    memory: dict[str, int] = {}
    for turn in range(warm_up + rounds):
        for name, step in steps.items():
            seconds, peak = timed(step, device)
            if turn >= warm_up:
                times[name].append(seconds)
                memory[name] = max(memory.get(name, 0), peak)
    on_gpu = device.type == "cuda"
    return {name: Cost(statistics.median(times[name]), memory[name] if on_gpu else None) for name in steps}


def timed(step: Callable[[], object], device: torch.device) -> tuple[float, int]:
    """Take one step. Return its time [s] and its peak memory [bytes], 0 on a CPU.

    On CUDA, time is that between two events, and the host waits before and after.
    """
    if device.type != "cuda":
        begun = time.perf_counter()
        step()
        return time.perf_counter() - begun, 0
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    step()
    end.record()
    torch.cuda.synchronize(device)
    return start.elapsed_time(end) / 1000, torch.cuda.max_memory_allocated(device) - before


def clear(device: torch.device) -> None:
    """Return unused memory, so that one measurement does not limit the next."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def shown_memory(memory: int | None) -> str:
    """Return a cell of a table."""
    return "-" if memory is None else f"{memory / 2**20:,.0f} MiB"
