"""Parity of every registered loss term, against float64 on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.gpu.parity import PRECISIONS, Errors, errors, precisions, shown, within
from benchmarks.gpu.report import Section
from revalexo_clip.core.component import Component
from revalexo_clip.core.types import ClassifierOutput
from revalexo_clip.losses import (
    ClassificationLoss,
    ClassificationLossModule,
    Distillation,
    InfoNCE,
    Loss,
    LossModule,
    NearestNeighbours,
    Overlap,
    SigLIP,
    Sum,
    Term,
)
from revalexo_clip.losses.text_contrast import with_meaning

LIMITS = {"fp32": Errors(1e-5, 1e-4), "bf16": Errors(2e-2, 3e-2), "fp16": Errors(3e-3, 5e-3)}
"""Losses compute in float32; these are the roundings of their input and of its gradient."""
WINDOW, DIM, FRAMES = 2.0, 32, (0.0, 1.0)
ACTIVITIES, HORIZONS = 7, 2


def losses_section(device: torch.device, quick: bool) -> Section:
    """Compare every registered loss in every precision of its input with float64."""
    limits = ", ".join(f"{name} {shown(limit)}" for name, limit in LIMITS.items())
    note = f"Largest error, loss / gradient, against float64 of the same rounded vectors. Limits: {limits}."
    section = Section("Parity of losses", note, ["", *PRECISIONS])
    count = 48 if quick else 1024
    for name, loss in contrastive():
        _compare(section, name, device, partial(contrast, loss, count))
    for name, labels in classification():
        _compare(section, name, device, partial(classify, labels, count))
    return section


class Rounded(NamedTuple):
    """A precision, and the coarser one to which the numbers are rounded first."""

    dtype: torch.dtype
    to: torch.dtype

    def round(self, x: Tensor, device: torch.device) -> Tensor:
        """Return the numbers, which differ by nothing but their precision, on a device."""
        return x.to(self.to).to(device, self.dtype)

    @property
    def of_weights(self) -> torch.dtype:
        """The precision of weights: float64, or float32 as in mixed precision."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32


def _compare(
    section: Section, name: str, device: torch.device, compute: Callable[[Rounded, torch.device], list[Tensor]]
) -> None:
    cells = [name]
    for precision, dtype in PRECISIONS.items():
        if precision not in precisions(device):
            cells.append("-")
            continue
        want = compute(Rounded(torch.float64, dtype), torch.device("cpu"))
        found = errors(compute(Rounded(dtype, dtype), device), want)
        cells.append(shown(found))
        if not within(found, LIMITS[precision]):
            section.failures.append(f"{name} in {precision}: {shown(found)} is above {shown(LIMITS[precision])}")
    section.rows.append(cells)


def contrastive() -> Iterator[tuple[str, Loss]]:
    """Yield every registered contrastive loss, with its defaults."""
    given: dict[str, Loss] = {
        "Sum": Sum(terms={"one": Term(InfoNCE(), weight=0.5), "other": Term(SigLIP())}),
        "NearestNeighbours": NearestNeighbours(queue=32),
    }
    yield "InfoNCE, smoothed, in blocks", InfoNCE(label_smoothing=0.1, block_rows=16)
    for name, kind in registered(Loss):
        yield name, given.get(name) or kind()


def classification() -> Iterator[tuple[str, ClassificationLoss]]:
    """Yield every registered loss of activity classifiers."""
    for name, kind in registered(ClassificationLoss):
        if name == "Distillation":
            yield "Distillation by logits", Distillation(teacher=Path("none"))
            yield "Distillation by features", Distillation(teacher=Path("none"), by="features")
        else:
            yield name, kind()


def registered(base: type[Component]) -> list[tuple[str, type]]:
    """Return the package's own components of a kind, by name."""
    own = [(name, kind) for name, kind in Component.registry.items() if kind.__module__.startswith("revalexo_clip.")]
    return sorted((name, kind) for name, kind in own if issubclass(kind, base))


def contrast(loss: Loss, count: int, precision: Rounded, device: torch.device) -> list[Tensor]:
    """Return a loss of unit vectors in a precision, and its gradients, in float64 on the CPU."""
    torch.manual_seed(0)
    module = loss.build()
    recording_N = torch.arange(count) // 6
    time_N = 1.7 * torch.arange(count, dtype=torch.float64) % 60  # some windows overlap
    overlap = Overlap(recording_N.to(device), time_N.to(device), WINDOW, FRAMES)
    vectors = [unit_vectors(count, precision, device, seed) for seed in range(2)]
    earlier, of_video = (unit_vectors(count, precision, device, seed).detach() for seed in range(2, 4))
    module = module.to(device, precision.of_weights)
    module.update(earlier, of_video, Overlap(overlap.recording_N + count, overlap.time_N, WINDOW, FRAMES))
    return _with_gradients(module, module(*_distinct(module, vectors), overlap), vectors)


def _distinct(module: LossModule, vectors: list[Tensor]) -> list[Tensor]:
    """Return what a loss reads: the same vectors twice if it compares windows of one modality.

    Some windows have text of the same meaning.
    """
    if module.reads[1] == "text":
        meaning_N = torch.arange(len(vectors[1]), device=vectors[1].device) % 40
        return [vectors[0], with_meaning(vectors[1], meaning_N)]
    return vectors if module.reads[0] != module.reads[1] else [vectors[0], vectors[0]]


def unit_vectors(count: int, precision: Rounded, device: torch.device, seed: int) -> Tensor:
    """Return unit vectors [N, K D], each of the K parts of the same length, in a precision."""
    x_NKD = torch.randn(count, len(FRAMES), DIM, generator=torch.Generator().manual_seed(seed))
    x_ND = nn.functional.normalize(x_NKD, dim=2).flatten(1) / len(FRAMES) ** 0.5
    return precision.round(x_ND, device).requires_grad_()


def classify(loss: ClassificationLoss, count: int, precision: Rounded, device: torch.device) -> list[Tensor]:
    """Return a loss of logits in a precision, and its gradients, in float64 on the CPU."""
    torch.manual_seed(0)
    module: ClassificationLossModule = loss.build(DIM, DIM)
    module = module.to(device, precision.of_weights)
    outputs = []
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        shapes = ((count, HORIZONS, ACTIVITIES), (count, DIM))
        made = [precision.round(torch.randn(shape, generator=generator), device) for shape in shapes]
        outputs.append(ClassifierOutput(*made))
    student, teacher = outputs
    leaves = [student.logits_BKA.requires_grad_(), student.features_BF.requires_grad_()]
    label_BK = (torch.arange(count * HORIZONS) % (ACTIVITIES + 1) - 1).view(count, HORIZONS).to(device)
    half = precision.dtype in (torch.bfloat16, torch.float16)
    with torch.autocast(device.type, precision.dtype) if half else nullcontext():
        loss_B = module(student, label_BK, teacher)
    return _with_gradients(module, loss_B.mean(), leaves)


def _with_gradients(module: nn.Module, loss: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    leaves = [*inputs, *module.parameters()]
    found = torch.autograd.grad(loss, leaves, allow_unused=True)
    gradients = [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, found, strict=True)]
    return [each.detach().double().cpu() for each in (loss, *gradients)]
