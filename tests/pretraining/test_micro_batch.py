from __future__ import annotations

from functools import partial

import pytest
import torch
from support.plain_losses import moments
from torch import Tensor, nn

from revalexo_clip.losses import InfoNCE, Loss, LossModule, SigLIP
from revalexo_clip.models.layers import Dropout, Step, number_dropouts, one_step
from revalexo_clip.pretraining.contrast import Vectors
from revalexo_clip.pretraining.micro_batch import contrast_in_parts

ROWS = 12


class Towers(nn.Module):
    """Two small towers with dropout; `norm` puts a batch norm into one of them."""

    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.imu = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 4))
        self.norm = nn.BatchNorm1d(7) if norm else nn.Identity()
        self.video = nn.Sequential(nn.Linear(7, 16), nn.Dropout(0.3), nn.Tanh(), nn.Linear(16, 4))
        self.double()

    def forward(self, imu_BC: Tensor, video_BC: Tensor) -> tuple[Tensor, Tensor]:
        imu_BD, video_BD = self.imu(imu_BC), self.video(self.norm(video_BC))
        return nn.functional.normalize(imu_BD, dim=1), nn.functional.normalize(video_BD, dim=1)


def pooled(imu_BD: Tensor, video_BD: Tensor) -> Vectors:
    return {"imu": imu_BD, "video": video_BD}


def windows() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(ROWS, 5, generator=generator, dtype=torch.float64),
        torch.randn(ROWS, 7, generator=generator, dtype=torch.float64),
    )


def backward(flags: list[bool], loss: Tensor, last: bool) -> None:
    flags.append(last)
    torch.autograd.backward(loss)


def in_parts(towers: Towers, loss_module: LossModule, part: int) -> tuple[Tensor, list[bool]]:
    """Return the loss of a step, and the `last` flag of each of its backward passes."""
    imu_NC, video_NC = windows()
    flags: list[bool] = []
    torch.manual_seed(4)
    loss = contrast_in_parts(
        towers,
        rows=ROWS,
        part=part,
        embed=lambda rows: pooled(*towers(imu_NC[rows], video_NC[rows])),
        contrast=lambda vectors: loss_module(vectors["imu"], vectors["video"], moments(ROWS)),
        loss_parameters=list(loss_module.parameters()),
        backward=partial(backward, flags),
    )
    return loss, flags


def at_once(towers: Towers, loss_module: LossModule, part: int) -> Tensor:
    """The reference: all parts embedded with their graphs kept, one loss, one backward pass."""
    torch.manual_seed(4)
    imu_NC, video_NC = windows()
    parts = [towers(imu_NC[start : start + part], video_NC[start : start + part]) for start in range(0, ROWS, part)]
    loss: Tensor = loss_module(*(torch.cat(sides) for sides in zip(*parts, strict=True)), moments(ROWS))
    torch.autograd.backward(loss)
    return loss.detach()


def gradients(*modules: nn.Module) -> list[Tensor]:
    found = [parameter.grad for module in modules for parameter in module.parameters()]
    assert all(gradient is not None for gradient in found)
    return [gradient for gradient in found if gradient is not None]


@pytest.mark.parametrize("part", [12, 6, 4, 5, 11, 1])
def test_loss_and_all_gradients_are_those_of_the_undivided_batch_with_the_same_dropout(part: int) -> None:
    towers, loss_module = Towers(), InfoNCE(temperature=0.2).build().double()
    loss, flags = in_parts(towers, loss_module, part)
    reference, reference_loss = Towers(), InfoNCE(temperature=0.2).build().double()
    torch.testing.assert_close(loss, at_once(reference, reference_loss, part), rtol=1e-12, atol=0)
    for gradient, expected in zip(gradients(towers, loss_module), gradients(reference, reference_loss), strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-14)
    assert flags == [False] * (-(-ROWS // part) - 1) + [True]


class Dropping(nn.Module):
    """Encoders whose dropout depends on the position in the batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.imu = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), Dropout(0.5), nn.Linear(16, 4))
        self.video = nn.Sequential(nn.Linear(7, 16), Dropout(0.3), nn.Tanh(), nn.Linear(16, 4), Dropout(0.1))
        number_dropouts(self.double())

    def forward(self, imu_BC: Tensor, video_BC: Tensor) -> tuple[Tensor, Tensor]:
        return nn.functional.normalize(self.imu(imu_BC), dim=1), nn.functional.normalize(self.video(video_BC), dim=1)


@pytest.mark.parametrize(
    "objective", [InfoNCE(temperature=0.2), SigLIP(temperature=0.2, bias=-2.0, label_smoothing=0.1)]
)
def test_ten_steps_of_32_pairs_end_with_the_same_weights_in_parts_and_blocks_of_any_size(objective: Loss) -> None:
    generator = torch.Generator().manual_seed(2)
    imu_NC, video_NC = (torch.randn(32, size, generator=generator, dtype=torch.float64) for size in (5, 7))

    def train(part: int, block_rows: int | None) -> list[Tensor]:
        """Return the loss and the gradients of the first step, and the parameters after ten steps."""
        towers, loss_module = Dropping(), objective.model_copy(update={"block_rows": block_rows}).build().double()
        optimizer = torch.optim.AdamW([*towers.parameters(), *loss_module.parameters()], lr=0.01)
        first: list[Tensor] = []
        for number in range(10):
            optimizer.zero_grad()
            with one_step(seed=0, number=number, batch_size=32) as step:

                def embed(rows: slice, step: Step = step) -> Vectors:
                    step.rows = rows
                    return pooled(*towers(imu_NC[rows], video_NC[rows]))

                loss = contrast_in_parts(
                    towers,
                    rows=32,
                    part=part,
                    embed=embed,
                    contrast=lambda vectors: loss_module(vectors["imu"], vectors["video"], moments(32)),
                    loss_parameters=list(loss_module.parameters()),
                    backward=partial(backward, []),
                )
            first = first or [loss, *(gradient.clone() for gradient in gradients(towers, loss_module))]
            optimizer.step()
        return [*first, *towers.state_dict().values(), *loss_module.state_dict().values()]

    whole = train(part=32, block_rows=None)
    for part, block_rows in ((8, None), (5, 7), (32, 1)):
        torch.testing.assert_close(train(part, block_rows), whole, rtol=1e-9, atol=1e-12)


def test_without_randomness_the_size_of_a_part_changes_nothing() -> None:
    found = []
    for part in (12, 5, 1):
        towers, loss_module = Towers().eval(), InfoNCE(temperature=0.2).build().double()
        loss, _ = in_parts(towers, loss_module, part)
        found.append([loss, *gradients(towers, loss_module)])
    for divided in found[1:]:
        torch.testing.assert_close(divided, found[0], rtol=1e-10, atol=1e-14)


def test_random_numbers_go_on_as_if_each_part_had_been_embedded_once() -> None:
    in_parts(Towers(), InfoNCE().build(), 5)
    after = torch.rand(3)
    at_once(Towers(), InfoNCE().build(), 5)
    assert torch.equal(after, torch.rand(3))


@pytest.mark.parametrize("part", [12, 5])
def test_running_statistics_see_every_window_once(part: int) -> None:
    towers, reference = Towers(norm=True), Towers(norm=True)
    in_parts(towers, InfoNCE().build().double(), part)
    at_once(reference, InfoNCE().build().double(), part)
    for name, statistic in reference.norm.named_buffers():
        torch.testing.assert_close(towers.norm.get_buffer(name), statistic, rtol=1e-12, atol=0)


def test_a_frozen_batch_norm_keeps_its_statistics_and_uses_them() -> None:
    towers, whole = Towers(norm=True).eval(), Towers(norm=True).eval()
    loss, _ = in_parts(towers, InfoNCE().build().double(), 5)
    expected, _ = in_parts(whole, InfoNCE().build().double(), 12)
    torch.testing.assert_close(loss, expected)
    assert towers.norm.get_buffer("num_batches_tracked") == 0


def test_a_temperature_that_is_not_trained_gets_no_gradient() -> None:
    towers, loss_module = Towers(), InfoNCE().build().double().requires_grad_(requires_grad=False)
    in_parts(towers, loss_module, 5)
    assert len(gradients(towers)) == len(list(towers.parameters()))
    assert [parameter.grad for parameter in loss_module.parameters()] == [None]


def test_under_autocast_the_second_pass_has_gradients_too() -> None:
    towers, loss_module = Towers().float(), InfoNCE().build()
    imu_NC, video_NC = (x_NC.float() for x_NC in windows())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        contrast_in_parts(
            towers,
            rows=ROWS,
            part=5,
            embed=lambda rows: pooled(*towers(imu_NC[rows], video_NC[rows])),
            contrast=lambda vectors: loss_module(vectors["imu"], vectors["video"]),
            loss_parameters=list(loss_module.parameters()),
            backward=partial(backward, []),
        )
    assert all(gradient.abs().sum() > 0 for gradient in gradients(towers, loss_module))


@pytest.mark.parametrize("part", [12, 5])
@pytest.mark.parametrize("scaled", [1.0, 2.0**14], ids=["", "as for fp16"])
def test_under_autocast_the_gradients_of_the_loss_are_those_of_full_precision(part: int, scaled: float) -> None:
    imu_ND, video_ND = (
        nn.functional.normalize(torch.randn(ROWS, 64), dim=1).requires_grad_() for _ in ("imu", "video")
    )
    loss_module = InfoNCE(temperature=0.07).build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        contrast_in_parts(
            nn.Module(),
            rows=ROWS,
            part=part,
            embed=lambda rows: {"imu": imu_ND[rows], "video": video_ND[rows]},
            contrast=lambda vectors: loss_module(vectors["imu"], vectors["video"]),
            loss_parameters=list(loss_module.parameters()),
            backward=lambda loss, last: torch.autograd.backward(loss * scaled),
        )
    exact = [x_ND.detach().double().requires_grad_() for x_ND in (imu_ND, video_ND)]
    exact_loss = InfoNCE(temperature=0.07).build().double()
    torch.autograd.backward(exact_loss(*exact) * scaled)
    for found, expected in zip(
        (imu_ND, video_ND, *loss_module.parameters()), (*exact, *exact_loss.parameters()), strict=True
    ):
        assert found.grad is not None
        assert expected.grad is not None
        error = (found.grad.double() - expected.grad).norm() / expected.grad.norm()
        assert error <= 1e-6
