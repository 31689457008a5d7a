"""Shares of a loss: what each process computes of it adds up to the loss and its gradients."""

from __future__ import annotations

import pytest
import torch
from support.pages import ROOT, Page
from support.plain_losses import WINDOW, candidates, moments, unit
from torch import Tensor, nn

from revalexo_clip.core.component import Component
from revalexo_clip.data.batches import share_of
from revalexo_clip.losses import (
    InfoNCE,
    Loss,
    LossModule,
    NearestNeighbours,
    Overlap,
    QueueDistillation,
    SelfContrast,
    SigLIP,
    Sum,
    TemporalContrast,
    Term,
    Vector,
)
from revalexo_clip.losses.terms import shares

COUNT = 11


class Own(LossModule):
    """A loss as a user may write it, with `forward` alone."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None = None) -> Tensor:
        return (imu_ND.mean(0) - self.log_scale.exp() * video_ND.square().mean(0)).square().sum()

    @property
    def temperature(self) -> Tensor:
        return self.log_scale.detach().exp()


class OwnLoss(Loss):
    def build(self) -> LossModule:
        return Own()


LOSSES = {
    "InfoNCE": InfoNCE(temperature=0.2),
    "InfoNCE in blocks": InfoNCE(temperature=0.2, block_rows=2),
    "one way": InfoNCE(temperature=0.2, direction="imu_to_video", label_smoothing=0.2, block_rows=3),
    "the other way": InfoNCE(temperature=0.2, direction="video_to_imu"),
    "smoothed": InfoNCE(temperature=0.2, label_smoothing=0.3),
    "SigLIP": SigLIP(temperature=0.2, bias=-2.0, label_smoothing=0.1, block_rows=3),
    "SelfContrast": SelfContrast(temperature=0.3, block_rows=3),
    "NearestNeighbours": NearestNeighbours(queue=5, temperature=0.3, block_rows=3),
    "NearestNeighbours one way": NearestNeighbours(queue=5, direction="video_to_imu"),
    "NearestNeighbours off": NearestNeighbours(queue=5000),
    "QueueDistillation": QueueDistillation(queue=8, block_rows=3),
    "TemporalContrast": TemporalContrast(temperature=0.3, block_rows=3),
    "own": OwnLoss(),
}
OTHERS = ("NearestNeighbours", "QueueDistillation", "TemporalContrast")
CASES = [
    pytest.param(name, overlap, id=f"{name}-{'all' if overlap is None else 'without overlaps'}")
    for overlap in (None, moments(COUNT))
    for name in LOSSES
    if name != "TemporalContrast" or overlap is not None  # it needs the times of windows
]


def divided(processes: int) -> list[slice]:
    """Return the rows of each process; their numbers differ."""
    shares = [share_of(COUNT, rank, processes) for rank in range(processes)]
    return [slice(share.start, share.stop) for share in shares]


def built(loss: Loss) -> LossModule:
    """Return a loss after the update of an earlier step, in double precision."""
    module = loss.build().double()
    module.update(unit(6, 5, seed=3), unit(6, 5, seed=4), Overlap(torch.arange(6) % 2, torch.arange(6.0), WINDOW))
    return module


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize(("name", "overlap"), CASES)
def test_shares_add_up_to_the_loss_and_to_its_gradients(name: str, overlap: Overlap | None, processes: int) -> None:
    imu_ND, video_ND = unit(COUNT, 5, seed=1).requires_grad_(), unit(COUNT, 5, seed=2).requires_grad_()
    module = built(LOSSES[name])
    leaves = [imu_ND, video_ND, *module.parameters()]
    whole = module(imu_ND, video_ND, overlap)
    expected = torch.autograd.grad(whole, leaves, allow_unused=True, materialize_grads=True)
    parts = [module.share(imu_ND, video_ND, overlap, rows) for rows in divided(processes)]
    torch.testing.assert_close(torch.stack(parts).sum(), whole, rtol=1e-12, atol=1e-14)
    found = [torch.autograd.grad(share, leaves, allow_unused=True, materialize_grads=True) for share in parts]
    summed = tuple(torch.stack(gradients).sum(0) for gradients in zip(*found, strict=True))
    torch.testing.assert_close(summed, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    "name", ["InfoNCE in blocks", "SigLIP", "NearestNeighbours", "QueueDistillation", "TemporalContrast"]
)
def test_a_share_has_no_more_rows_in_memory_than_block_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, sizes = built(LOSSES[name]), []
    product = Tensor.__matmul__

    def watched(self: Tensor, other: Tensor) -> Tensor:
        result = product(self, other)
        sizes.append(result.shape)
        return result

    monkeypatch.setattr(Tensor, "__matmul__", watched)
    module.share(unit(COUNT, 5, seed=1), unit(COUNT, 5, seed=2), moments(COUNT), slice(3, 9))
    assert sizes
    assert all(rows <= 3 and columns in (COUNT, 5, 8) for rows, columns in sizes)


@pytest.mark.parametrize(
    "name", ["InfoNCE", "SigLIP", "SelfContrast", "NearestNeighbours", "QueueDistillation", "TemporalContrast"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_does_not_change_a_share(name: str, dtype: torch.dtype) -> None:
    module = built(LOSSES[name]).float()
    imu_ND, video_ND = (unit(COUNT, 5, seed=seed).to(dtype) for seed in (1, 2))
    exact = module.share(imu_ND, video_ND, moments(COUNT), slice(3, 9))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        share = module.share(imu_ND, video_ND, moments(COUNT), slice(3, 9))
    assert share.dtype == torch.float32
    assert torch.equal(share, exact)


def test_the_loss_of_the_documentation_works_as_a_term() -> None:
    (source,) = (text for text in Page(ROOT / "docs/custom-components.md").blocks("python") if "MarginLoss" in text)
    names: dict[str, type[Loss]] = {"__name__": __name__}  # type: ignore[dict-item]
    exec(compile(source, "custom-components.md", "exec", dont_inherit=True), names)
    try:
        module = Sum(terms={"margin": Term(names["Margin"](), weight=0.5)}).build().double()
    finally:
        Component.registry.pop("Margin")
    imu_ND, video_ND, overlap = unit(COUNT, 5, seed=1).requires_grad_(), unit(COUNT, 5, seed=2), moments(COUNT)
    expected = torch.zeros((), dtype=torch.float64)
    for i, rivals in enumerate(candidates(overlap, COUNT)):
        for j in set(rivals) - {i}:
            expected = expected + (0.2 + imu_ND[i] @ video_ND[j] - imu_ND[i] @ video_ND[i]).clamp(min=0)
    vectors: dict[Vector, Tensor] = {"imu": imu_ND, "video": video_ND}
    found = torch.stack([shares(module, vectors, overlap, rows)["margin"] for rows in divided(3)]).sum()
    torch.testing.assert_close(found, expected / COUNT)
    torch.autograd.backward(found)


def test_a_sum_of_terms_is_the_weighted_sum_of_their_shares() -> None:
    imu_ND, video_ND, overlap = unit(COUNT, 5, seed=1), unit(COUNT, 5, seed=2), moments(COUNT)
    terms = {"near": Term(LOSSES["InfoNCE"], weight=0.5), "sigmoid": Term(LOSSES["SigLIP"])}
    module = Sum(terms=terms).build().double()
    expected = 0.5 * LOSSES["InfoNCE"].build().double()(imu_ND, video_ND, overlap)
    expected = expected + LOSSES["SigLIP"].build().double()(imu_ND, video_ND, overlap)
    torch.testing.assert_close(module(imu_ND, video_ND, overlap), expected)
