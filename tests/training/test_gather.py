from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.plain_losses import plain_info_nce
from support.processes import in_processes
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from revalexo_clip.data.batches import share_of
from revalexo_clip.losses import InfoNCE, Loss, Overlap, SigLIP
from revalexo_clip.training.distributed import (
    gather,
    gather_with_gradient,
    rank,
    reduce_over_ranks,
    world_size,
)

ROWS = 8
WINDOW = 2.0


def uneven() -> list[Tensor]:
    """Return galleries with more rows on rank 0 than on the others, or with all rows there."""
    return [
        gather(torch.arange(5)[:3] if rank() == 0 else torch.arange(5)[3:]),
        gather(torch.arange(8.0).view(4, 2)[: 4 * (rank() == 0)]),
        gather(torch.tensor([rank() == 1])),
        gather(torch.full((1 + rank(),), 1 / 3, dtype=torch.float64)),
        *averaged(),
    ]


def averaged() -> tuple[Tensor, Tensor]:
    """Return one tensor that differs between processes, and one that does not, after averaging."""
    tensors = torch.full((2, 2), float(rank())), torch.full((3,), 0.1)
    total = reduce_over_ranks(torch.arange(2.0), tensors)
    assert total.tolist() == [0, world_size()]
    return tensors


def rows() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return IMU, video, clips and starts of a batch. Windows of each part overlap with those of other parts."""
    generator = torch.Generator().manual_seed(0)
    imu_NC = torch.randn(ROWS, 5, dtype=torch.float64, generator=generator)
    video_NC = torch.randn(ROWS, 7, dtype=torch.float64, generator=generator)
    clip_N = torch.tensor([0, 1, 2, 0, 1, 3, 2, 0])
    start_N = torch.tensor([0.0, 1.0, 0.0, 1.5, 3.5, 0.0, 1.0, 0.5], dtype=torch.float64)
    return imu_NC, video_NC, clip_N, start_N


class Towers(nn.Module):
    """Two linear towers and this process's share of the loss of all rows, computed three rows at a time."""

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.imu, self.video = nn.Linear(5, 4), nn.Linear(7, 4)
        self.loss = loss.build()
        self.double()

    def forward(self, imu_BC: Tensor, video_BC: Tensor, clip_B: Tensor, start_B: Tensor) -> Tensor:
        imu_BD = nn.functional.normalize(self.imu(imu_BC), dim=1)
        video_BD = nn.functional.normalize(self.video(video_BC), dim=1)
        overlap = Overlap(gather(clip_B), gather(start_B), WINDOW)
        sizes = [len(share_of(ROWS, place, world_size())) for place in range(world_size())]
        own = share_of(ROWS, rank(), world_size())
        imu_ND, video_ND = gather_with_gradient(imu_BD, sizes), gather_with_gradient(video_BD, sizes)
        share: Tensor = self.loss.share(imu_ND, video_ND, overlap, slice(own.start, own.stop))
        return world_size() * share


OBJECTIVES = (
    InfoNCE(temperature=0.2, block_rows=3),
    SigLIP(temperature=0.2, bias=-1.0, label_smoothing=0.1, block_rows=3),
)


def step(objective: Loss) -> dict[str, Tensor]:
    """Return the loss and the gradients of one step on this process's rows, averaged by DDP if there are several."""
    towers = Towers(objective)
    model = DistributedDataParallel(towers) if world_size() > 1 else towers
    own = share_of(ROWS, rank(), world_size())
    loss = model(*(part[own.start : own.stop] for part in rows()))
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in towers.named_parameters() if parameter.grad is not None}
    return {"": reduce_over_ranks(loss.detach()[None])[0] / world_size(), **gradients}


def gathered_and_stepped() -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    return uneven(), [step(objective) for objective in OBJECTIVES]


def test_the_loss_of_one_process_has_no_negatives_that_overlap() -> None:
    towers, (imu_NC, video_NC, clip_N, start_N) = Towers(OBJECTIVES[0]), rows()
    imu_ND, video_ND = (nn.functional.normalize(x, dim=1) for x in (towers.imu(imu_NC), towers.video(video_NC)))
    scale = torch.tensor(5.0, dtype=torch.float64)
    expected = plain_info_nce(imu_ND, video_ND, scale, Overlap(clip_N, start_N, WINDOW))
    torch.testing.assert_close(step(OBJECTIVES[0])[""], expected.detach(), rtol=1e-6, atol=0)
    assert abs(plain_info_nce(imu_ND, video_ND, scale, None) - expected) > 0.1, "many do overlap"


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.long)])
def test_processes_see_all_rows_and_give_every_parameter_the_gradient_of_one_process(
    processes: int, tmp_path: Path
) -> None:
    alone = [step(objective) for objective in OBJECTIVES]
    assert {"loss.bias", "loss.log_scale"} <= set(alone[1])
    for outcome in in_processes(processes, gathered_and_stepped, tmp_path):
        assert isinstance(outcome, tuple)
        (integers, matrix, flags, doubles, average, same), stepped = outcome
        assert integers.tolist() == [0, 1, 2, *[3, 4] * (processes - 1)]
        assert torch.equal(matrix, torch.arange(8.0).view(4, 2))
        assert flags.tolist() == [place == 1 for place in range(processes)]
        assert average.tolist() == [[(processes - 1) / 2] * 2] * 2
        assert torch.equal(same, torch.full((3,), 0.1))
        assert doubles.tolist() == [1 / 3] * sum(range(1, processes + 1))
        for found, expected in zip(stepped, alone, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_a_process_alone_keeps_its_rows() -> None:
    x_BD = torch.randn(3, 2, requires_grad=True)
    assert gather(x_BD) is x_BD
    assert gather_with_gradient(x_BD, [3]) is x_BD
    assert torch.equal(reduce_over_ranks(x_BD[0], [x_BD]), x_BD[0])
    assert (rank(), world_size()) == (0, 1)
