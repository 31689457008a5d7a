"""Step time, memory and largest batch of the encoders, against PyTorchVideo's own modules in the same process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from benchmarks.gpu.cases import BATCHES, TrainingStep, Variant, load, variants
from benchmarks.gpu.clock import Cost, clear, measure, shown_memory
from benchmarks.gpu.report import Section
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.models.encoders.fast.depthwise_forms import FORMS

CAP = 8192
"""Largest batch that is tried."""


def steps_section(device: torch.device, quick: bool) -> Section:
    """Measure training steps under bf16 autocast, all variants in turn."""
    section = Section(
        "Training steps",
        "Forward, loss, backward and optimizer on made-up windows under bf16 autocast; medians of steps that take "
        "turns. Memory is the peak above what is allocated between steps. Ratios are relative to PyTorchVideo, in the "
        "format in which it takes less time; those of motion to its first row.",
        ["experiment", "variant", "batch", "step [ms]", "windows/s", "memory", "time ratio", "memory ratio"],
    )
    for name, sizes in BATCHES.items():
        batch = sizes[quick]
        experiment = load(name, quick)
        steps = {
            label: TrainingStep(experiment, variant, batch, device)
            for label, variant in variants(name, device, quick).items()
        }
        costs = measure(steps, device, rounds=3 if quick else 20, warm_up=1 if quick else 5)
        steps.clear()
        clear(device)
        _add_rows(section, name, batch, costs)
    return section


def _add_rows(section: Section, name: str, batch: int, costs: dict[str, Cost]) -> None:
    baseline = [cost for label, cost in costs.items() if label.startswith("PyTorchVideo")]
    first = min(baseline, default=next(iter(costs.values())))
    for label, cost in costs.items():
        ratio = "-" if cost.memory is None or not first.memory else f"{cost.memory / first.memory:.2f}"
        cells = (f"{1000 * cost.seconds:.1f}", f"{batch / cost.seconds:,.0f}", shown_memory(cost.memory))
        section.rows.append([name, label, str(batch), *cells, f"{cost.seconds / first.seconds:.2f}", ratio])


def largest_section(device: torch.device, quick: bool) -> Section:
    """Find the largest batch that fits, of each variant except the compiled one."""
    section = Section(
        "Largest batch",
        f"Windows of a step that fit into the GPU's memory, to an eighth; at most {CAP}. Not searched for on a CPU.",
        ["experiment", "variant", "largest batch"],
    )
    if device.type != "cuda":
        return section
    for name in BATCHES:
        experiment = load(name, quick)
        for label, variant in variants(name, device, quick).items():
            if not variant.compile:
                section.rows.append([name, label, str(largest(partial(_fits, experiment, variant, device)))])
    return section


def _fits(experiment: PretrainExperiment, variant: Variant, device: torch.device, batch: int) -> bool:
    """Return whether two steps do not run out of memory: in the second one, the optimizer has its statistics."""
    try:
        _take_two(experiment, variant, batch, device)
        fitted = True
    except torch.OutOfMemoryError:
        fitted = False
    clear(device)
    return fitted


def _take_two(experiment: PretrainExperiment, variant: Variant, batch: int, device: torch.device) -> None:
    step = TrainingStep(experiment, variant, batch, device)
    step()
    step()
    torch.cuda.synchronize(device)


def largest(fits: Callable[[int], bool], cap: int = CAP) -> int:
    """Return the largest number up to `cap` that fits, to an eighth of it, by doubling and bisection; 0 if 1 does not.

    What fits must fit in a smaller size too.
    """
    low, high = 0, 1
    while high <= cap and fits(high):
        low, high = high, 2 * high
    if high > cap:
        return low
    while high - low > max(low // 8, 1):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def forms_section(device: torch.device, quick: bool) -> Section:
    """Measure every form of a depthwise convolution on the maps of X3D-XS and of MViT-B, forward and backward."""
    section = Section(
        "Forms of depthwise 3-D convolutions",
        "Forward and backward in bf16, on maps in the usual format and in channels_last_3d; by_shifts is compiled on a "
        "GPU. See revalexo_clip/models/encoders/fast/depthwise_forms.py.",
        ["maps", "form", "format", "time [ms]", "ratio"],
    )
    batch = 2 if quick else 32
    compiles = device.type == "cuda" and shutil.which("g++") is not None
    for of, (channels, frames, full, stride) in _MAPS.items():
        side = 16 if quick else full
        conv = nn.Conv3d(channels, channels, 3, (1, stride, stride), 1, groups=channels, bias=False)
        conv = conv.to(device, torch.bfloat16)
        x = torch.randn(batch, channels, frames, side, side, device=device, dtype=torch.bfloat16)
        steps: dict[str, Callable[[], object]] = {}
        for form, call in FORMS.items():
            compiled = torch.compile(call) if form == "by_shifts" and compiles else call
            for layout in (torch.contiguous_format, torch.channels_last_3d):
                maps = x.contiguous(memory_format=layout).requires_grad_()
                key = f"{form}|{'channels_last' if layout == torch.channels_last_3d else 'usual'}"
                steps[key] = _both_passes(partial(compiled, conv, maps))
        costs = measure(steps, device, rounds=3 if quick else 20, warm_up=1 if quick else 5)
        first = next(iter(costs.values())).seconds
        for key, cost in costs.items():
            cells = (f"{1000 * cost.seconds:.3f}", f"{cost.seconds / first:.2f}")
            section.rows.append([of, *key.split("|"), *cells])
        clear(device)
    return section


_MAPS = {
    "X3D, stage 1": (54, 4, 92, 2),
    "X3D, stage 2": (108, 4, 46, 1),
    "X3D, stage 4": (432, 4, 12, 1),
    "MViT, pooling of keys": (96, 8, 56, 8),
    "MViT, pooling of queries": (96, 8, 56, 2),
}
"""Channels, frames, height and width, and stride."""


def _both_passes(call: Callable[[], torch.Tensor]) -> Callable[[], None]:
    def step() -> None:
        torch.autograd.backward(call().float().square().sum())

    return step
