"""The loss between windows and sentences, against plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from support.plain_losses import moments, plain_text_contrast, unit
from torch import Tensor

from revalexo_clip.data.batches import share_of
from revalexo_clip.losses import Overlap, TextContrast
from revalexo_clip.losses.text_contrast import TextDirection, split_meaning, with_meaning

COUNT = 11
MEANING = (0, 1, -1, 0, 2, 3, 1, -1, 4, 5, 2)
"""What each window's sentence means; two windows have none."""


def vectors(meaning: tuple[int, ...] = MEANING) -> tuple[Tensor, Tensor]:
    """Vectors of windows and of sentences, which differ also between sentences of the same meaning."""
    x_ND, y_ND = unit(COUNT, 5, seed=1).requires_grad_(), unit(COUNT, 5, seed=2)
    return x_ND, with_meaning(y_ND, torch.tensor(meaning)).requires_grad_()


@pytest.mark.parametrize("overlap", [None, moments(COUNT)], ids=["apart", "overlapping"])
@pytest.mark.parametrize("direction", ["both", "to_text", "from_text"])
@pytest.mark.parametrize(("block_rows", "processes"), [(None, 1), (3, 1), (2, 3)])
def test_loss_and_gradients_are_those_of_a_plain_loop(
    direction: TextDirection, overlap: Overlap | None, block_rows: int | None, processes: int
) -> None:
    module = TextContrast(temperature=0.2, direction=direction, block_rows=block_rows).build().double()
    x_ND, text_NE = vectors()
    (log_scale,) = module.parameters()
    leaves = [x_ND, text_NE, log_scale]
    expected = plain_text_contrast(x_ND, text_NE, log_scale.exp(), overlap, direction)
    shared = [share_of(COUNT, rank, processes) for rank in range(processes)]
    parts = [module.share(x_ND, text_NE, overlap, slice(share.start, share.stop)) for share in shared]
    found = torch.stack(parts).sum()
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    gradients = torch.autograd.grad(found, leaves), torch.autograd.grad(expected, leaves)
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-12)


def test_the_vectors_of_windows_without_text_have_no_influence() -> None:
    module = TextContrast().build().double()
    x_ND, text_NE = vectors()
    loss = module(x_ND, text_NE)
    (gradient,) = torch.autograd.grad(loss, [x_ND])
    assert (gradient[[2, 7]] == 0).all()
    assert gradient[[0, 1, 3]].any(dim=1).all()
    changed = x_ND.detach().clone()
    changed[[2, 7]] = unit(2, 5, seed=9)
    assert torch.equal(module(changed, text_NE), loss)


def test_without_any_text_the_loss_is_0_and_gradients_are_finite() -> None:
    module = TextContrast().build().double()
    x_ND, text_NE = vectors((-1,) * COUNT)
    loss = module(x_ND, text_NE, moments(COUNT))
    assert loss.item() == 0
    for gradient in torch.autograd.grad(loss, [x_ND, text_NE, *module.parameters()]):
        assert (gradient == 0).all()


def test_one_meaning_alone_has_no_negatives() -> None:
    x_ND, text_NE = vectors((3,) * COUNT)
    assert TextContrast().build().double()(x_ND, text_NE).item() == 0


@pytest.mark.parametrize("block_rows", [None, 3])
@pytest.mark.parametrize("meaning", [MEANING, (-1,) * COUNT, (3,) * COUNT])
def test_chance_is_the_loss_of_vectors_that_are_all_equal(meaning: tuple[int, ...], block_rows: int | None) -> None:
    module = TextContrast(block_rows=block_rows).build().double()
    same_ND, overlap = unit(1, 5, seed=0).expand(COUNT, 5), moments(COUNT)
    text_NE = with_meaning(same_ND, torch.tensor(meaning))
    chance = module.chance_of(same_ND, text_NE, overlap)
    assert chance is not None
    torch.testing.assert_close(chance.double(), module(same_ND, text_NE, overlap), rtol=1e-6, atol=1e-7)
    assert (chance > 0) == (meaning == MEANING)


def test_the_term_reads_imu_or_video_and_text() -> None:
    assert TextContrast().build().reads == ("imu", "text")
    assert TextContrast(of="video").build().reads == ("video", "text")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_does_not_change_the_loss(dtype: torch.dtype) -> None:
    module = TextContrast(temperature=0.2).build()
    x_ND, text_NE = (x.detach().to(dtype) for x in vectors())
    exact = module(x_ND, text_NE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = module(x_ND, text_NE)
    assert found.dtype == torch.float32
    assert torch.equal(found, exact)
    assert math.isfinite(found.item())


def test_meanings_travel_with_the_vectors_and_have_no_gradient() -> None:
    y_BD = unit(3, 4, seed=0).float().requires_grad_()
    text_BE = with_meaning(y_BD, torch.tensor([2**24 - 1, -1, 0]))
    found_BD, meaning_B = split_meaning(text_BE)
    assert meaning_B.tolist() == [2**24 - 1, -1, 0]
    assert not meaning_B.requires_grad
    assert torch.equal(found_BD[0], y_BD[0])
    assert not found_BD[1].any()
