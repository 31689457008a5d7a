from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from revalexo_clip.core.types import VideoSpec
from revalexo_clip.models.encoders import X3D, MViT
from revalexo_clip.models.encoders.checkpointing import recompute, running_statistics_untouched

SPEC = VideoSpec(frames=2, crop=32, short_side=32, window=2.0)


def x3d(checkpointing: bool) -> nn.Module:
    return X3D(weights=None, gradient_checkpointing=checkpointing).build(SPEC, 8)


def mvit(checkpointing: bool) -> nn.Module:
    return MViT(weights=None, gradient_checkpointing=checkpointing).build(SPEC, 8)


def video() -> Tensor:
    return torch.randn(2, 3, 2, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def trained(build: Callable[[bool], nn.Module], checkpointing: bool) -> tuple[nn.Module, int]:
    """Return a network in training mode after two backward passes, and the bytes that the first graph stored."""
    torch.manual_seed(0)
    net = build(checkpointing).double().train()
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = net(video()).square().sum()
    loss.backward()
    net(video() + 1).sum().backward()
    return net, sum(kept.values()) - sum(parameter.untyped_storage().nbytes() for parameter in net.parameters())


@pytest.mark.long
@pytest.mark.parametrize(("build", "share"), [pytest.param(x3d, 0.4, id="X3D"), pytest.param(mvit, 0.2, id="MViT")])
def test_gradients_and_statistics_are_the_same_and_far_less_is_kept(
    build: Callable[[bool], nn.Module], share: float
) -> None:
    (net, kept), (plain, plainly_kept) = trained(build, True), trained(build, False)
    for (name, parameter), expected in zip(net.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad, rtol=1e-10, atol=1e-12, msg=name)
    torch.testing.assert_close(net.state_dict(), plain.state_dict(), rtol=1e-12, atol=0)
    assert kept < share * plainly_kept


class Block(nn.Module):
    """Batch norm and dropout; counts how often it is run."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm, self.dropout = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)
        self.runs = 0

    def forward(self, x_BC: Tensor) -> Tensor:
        self.runs += 1
        y_BC: Tensor = self.dropout(self.norm(self.linear(x_BC)).relu())
        return y_BC


def two_blocks(checkpointing: bool) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(Block(), Block()).double()
    if checkpointing:
        recompute(net)
    return net


def test_dropout_is_the_same_when_a_block_is_recomputed() -> None:
    x_BC = torch.randn(8, 4, dtype=torch.float64)
    found = []
    for checkpointing in (True, False):
        net = two_blocks(checkpointing)
        net(x_BC).square().sum().backward()
        found.append([parameter.grad for parameter in net.parameters()] + [torch.rand(2)])
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=0)


def runs(net: nn.Sequential) -> list[int]:
    return [block.runs for block in net if isinstance(block, Block)]


def test_blocks_are_recomputed_only_for_a_backward_pass() -> None:
    net = two_blocks(True)
    with torch.no_grad():
        net(torch.randn(8, 4, dtype=torch.float64))
    assert runs(net) == [1, 1]
    net(torch.randn(8, 4, dtype=torch.float64)).sum().backward()
    assert runs(net) == [3, 3]


def test_a_frozen_block_is_not_recomputed() -> None:
    net = two_blocks(True)
    net[0].requires_grad_(requires_grad=False)
    net(torch.randn(8, 4, dtype=torch.float64)).sum().backward()
    assert runs(net) == [1, 2]


def test_a_copy_of_a_block_runs_and_trains_its_own_weights() -> None:
    net = two_blocks(True)
    copied = deepcopy(net)
    copied(torch.randn(8, 4, dtype=torch.float64)).sum().backward()
    assert (runs(copied), runs(net)) == ([2, 2], [0, 0])
    assert all(parameter.grad is None for parameter in net.parameters())


def test_names_of_weights_do_not_change() -> None:
    assert list(two_blocks(True).state_dict()) == list(two_blocks(False).state_dict())


def test_protected_statistics_are_the_same_tensors_afterwards() -> None:
    norm = nn.BatchNorm1d(4)
    before = dict(norm.named_buffers())
    with running_statistics_untouched(norm):
        expected = nn.BatchNorm1d(4)(x_BC := torch.randn(8, 4))
        torch.testing.assert_close(norm(x_BC), expected)
    assert all(buffer is before[name] for name, buffer in norm.named_buffers())
    assert norm.get_buffer("num_batches_tracked") == 0
    assert norm.get_buffer("running_mean").abs().sum() == 0
