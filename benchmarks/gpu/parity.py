"""Parity: every fast form and every loss term in three precisions, against float64 on the CPU.

The error of a result is the largest difference from float64, relative to the largest value there; that of gradients is
taken over all of them together, as the norm of the difference relative to the norm. A form in mixed precision cannot be
better than the arithmetic, so its limit is `LIMITS`, or twice the error that PyTorchVideo's own module has in the same
precision on the same device, whichever is larger.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.gpu.report import Section
from revalexo_clip.training.trainer import use_tf32

PRECISIONS: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LIMITS = {"fp32": (1e-4, 1e-3), "bf16": (4e-2, 2e-1), "fp16": (8e-3, 5e-2)}
"""Largest error of outputs and of gradients, by precision."""


class Case(NamedTuple):
    """A form, what it must be equal to, and its input, all in float64 on the CPU."""

    name: str
    fast: nn.Module
    plain: nn.Module | None
    """PyTorchVideo's or torch's own module with the same weights; None if there is none."""
    inputs: tuple[Tensor, ...]
    call: Callable[[nn.Module, tuple[Tensor, ...]], Tensor]


class Errors(NamedTuple):
    """Errors of the output and of the gradients."""

    output: float
    gradient: float


def encoders_section(cases: Iterable[Case], device: torch.device) -> Section:
    """Compare forms with float64."""
    use_tf32(allowed=False)
    section = _section(
        "Parity of encoders and their fast forms",
        "Largest error, output / gradient, against float64 on the CPU; in brackets that of PyTorchVideo's or torch's "
        "own module in the same precision, if there is one. Limits: "
        + ", ".join(f"{name} {out:g} / {grad:g}" for name, (out, grad) in LIMITS.items())
        + ", or twice the error of that module. fp16 runs on CUDA only.",
    )
    for case in cases:
        _check_case(case, device, section)
    return section


def precisions(device: torch.device) -> list[str]:
    """Return the precisions that a device has: fp16 needs a GPU, as in training."""
    return [name for name in PRECISIONS if name != "fp16" or device.type == "cuda"]


def _section(title: str, note: str) -> Section:
    return Section(title, note, ["", *PRECISIONS])


def _check_case(case: Case, device: torch.device, section: Section) -> None:
    want = outcome(case.plain or case.fast, case, torch.device("cpu"), torch.float64)
    cells = [case.name]
    for name, dtype in PRECISIONS.items():
        if name not in precisions(device):
            cells.append("-")
            continue
        got = errors(outcome(case.fast, case, device, dtype), want)
        own = None if case.plain is None else errors(outcome(case.plain, case, device, dtype), want)
        limit = Errors(*(max(fixed, 2 * (own[at] if own else 0)) for at, fixed in enumerate(LIMITS[name])))
        cells.append(shown(got) + ("" if own is None else f" ({shown(own)})"))
        if not within(got, limit):
            section.failures.append(f"{case.name} in {name}: {shown(got)} is above {shown(limit)}")
    section.rows.append(cells)


def within(found: Errors, limit: Errors) -> bool:
    """Return whether errors are at most a limit; they are not if they are not numbers."""
    return all(one <= most for one, most in zip(found, limit, strict=True))


def shown(found: Errors) -> str:
    """Return the cell of a table."""
    return f"{found.output:.1e} / {found.gradient:.1e}"


def outcome(module: nn.Module, case: Case, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    """Return the output and all gradients, in float64 on the CPU. Half precision is that of autocast."""
    half = dtype in (torch.bfloat16, torch.float16)
    kept = torch.float32 if half else dtype
    module = copy.deepcopy(module).to(device, kept)
    inputs = tuple(x.to(device, kept).requires_grad_() for x in case.inputs)
    with torch.autocast(device.type, dtype) if half else nullcontext():
        output = case.call(module, inputs)
    direction = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).view(output.shape)
    leaves = [*inputs, *(weight for weight in module.parameters() if weight.requires_grad)]
    loss = (output.to(kept) * direction.to(device, kept)).sum()
    found = torch.autograd.grad(loss, leaves, allow_unused=True)
    gradients = [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, found, strict=True)]
    return [each.detach().double().cpu() for each in (output, *gradients)]


def errors(got: Sequence[Tensor], want: Sequence[Tensor]) -> Errors:
    """Return the errors of an outcome."""
    output = float((got[0] - want[0]).abs().max() / want[0].abs().max().clamp(min=1e-12))
    one, other = (torch.cat([each.flatten() for each in outcome[1:]]) for outcome in (got, want))
    return Errors(output, float((one - other).norm() / other.norm().clamp(min=1e-12)))
