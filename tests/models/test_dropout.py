from __future__ import annotations

import pytest
import torch
from torch import nn

from revalexo_clip.models.layers import Dropout, number_dropouts, one_step


def two_dropouts(p: float = 0.5) -> nn.Sequential:
    model = nn.Sequential(Dropout(p), nn.Identity(), nn.Sequential(Dropout(p)))
    number_dropouts(model)
    return model


def test_the_mask_of_a_part_is_that_of_the_whole_batch() -> None:
    x_ND, model = torch.rand(12, 7) + 1, two_dropouts()
    with one_step(seed=3, number=5, batch_size=12) as step:
        whole_ND = model(x_ND)
        for rows in (slice(0, 5), slice(5, 6), slice(6, 12), slice(0, 5)):
            step.rows = rows
            assert torch.equal(model(x_ND[rows]), whole_ND[rows])


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_values_are_zero_with_the_given_probability_and_keep_their_mean(p: float) -> None:
    layer = Dropout(p)
    with one_step(seed=3, number=5, batch_size=200):
        y_ND = layer(torch.ones(200, 100))
    assert y_ND.unique().tolist() == pytest.approx([0, 1 / (1 - p)])
    assert (y_ND == 0).double().mean().item() == pytest.approx(p, abs=0.01)


def test_steps_seeds_layers_and_windows_have_different_masks() -> None:
    first, second = (layer for layer in two_dropouts().modules() if isinstance(layer, Dropout))
    drawn = []
    for layer, seed, number in ((first, 0, 0), (second, 0, 0), (first, 1, 0), (first, 0, 1)):
        with one_step(seed, number, batch_size=2):
            drawn.extend(layer(torch.ones(2, 64)))
    assert len({tuple(row.tolist()) for row in drawn}) == 8


def test_outside_a_step_it_is_the_dropout_of_torch() -> None:
    x_BD, layer = torch.rand(4, 5), Dropout(0.5)
    torch.manual_seed(0)
    dropped_BD = layer(x_BD)
    torch.manual_seed(0)
    assert torch.equal(dropped_BD, nn.functional.dropout(x_BD, 0.5))
    layer.eval()
    with one_step(seed=0, number=0, batch_size=4):
        assert torch.equal(layer(x_BD), x_BD)


def test_gradients_pass_through_kept_values() -> None:
    x_BD, layer = torch.rand(4, 5, requires_grad=True), Dropout(0.5)
    with one_step(seed=0, number=0, batch_size=4):
        layer(x_BD).sum().backward()
        kept_BD = layer(torch.ones(4, 5))
    assert x_BD.grad is not None
    assert torch.equal(x_BD.grad, kept_BD)


def test_a_part_draws_nothing_for_the_rest_of_its_batch() -> None:
    layer, many = Dropout(0.5), 10**13  # their draws would fit into no memory
    with one_step(seed=3, number=5, batch_size=many) as step:
        step.rows = slice(many - 3, many)
        last_BD = layer(torch.ones(3, 16))
        step.rows = slice(many - 1, many)
        assert torch.equal(layer(torch.ones(1, 16)), last_BD[2:])


def test_masks_of_windows_and_of_features_are_independent() -> None:
    layer = Dropout(0.3)
    with one_step(seed=3, number=5, batch_size=400):
        dropped_ND = (layer(torch.ones(400, 3, 100)) == 0).flatten(1).double()
    expected = (0.3 * 0.7) ** 0.5
    assert dropped_ND.mean(0).std().item() == pytest.approx(expected / 400**0.5, rel=0.15)
    assert dropped_ND.mean(1).std().item() == pytest.approx(expected / 300**0.5, rel=0.15)
    for rows in (dropped_ND, dropped_ND.T):
        correlation = torch.corrcoef(rows).fill_diagonal_(0)
        assert correlation.abs().max() < 6 / rows.shape[1] ** 0.5
        assert correlation.std().item() == pytest.approx(rows.shape[1] ** -0.5, rel=0.1)
