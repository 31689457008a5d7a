"""Fronts measure known shifts of a texture, and their confidence says when they cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.moving_texture import shown, texture
from torch import Tensor, nn

from revalexo_clip.motion import FRONTS, Front, GradientFlow, PhaseCorrelation

EVERY = pytest.mark.parametrize("kind", FRONTS.values(), ids=FRONTS)


def shifted(right: float, down: float, noise: float = 0.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two frames [1, 120, 160] uint8 whose content moves [px]."""
    plane, draw = texture(seed), torch.Generator().manual_seed(seed)
    pair = (shown(plane, 0, 0), shown(plane, right, down))
    first, second = (frame + noise * torch.randn(frame.shape, generator=draw) for frame in pair)
    return first.round().clamp(0, 255).byte()[None], second.round().clamp(0, 255).byte()[None]


def error(front: Front, right: float, down: float, noise: float = 0.0) -> Tensor:
    """[12] distance of each cell's shift from the true one [px]."""
    measured_YX3 = front(*shifted(right, down, noise))[0]
    distance_YX: Tensor = (measured_YX3[..., :2] * 160 - torch.tensor([right, down])).norm(dim=-1)
    return distance_YX.flatten()


@EVERY
@pytest.mark.parametrize(("right", "down"), [(0.0, 0.0), (0.4, -0.3), (1.7, 0.8), (-3.2, 2.5), (5.0, -4.0)])
def test_small_shifts_are_measured_to_a_tenth_of_a_pixel(kind: type[Front], right: float, down: float) -> None:
    errors = error(kind(120, 160, 3, 4), right, down, noise=2.0)
    assert errors.median() < 0.1
    assert errors.max() < 0.35


def test_shifts_beyond_half_a_cell_do_not_wrap_around() -> None:
    """A cell of 40 px could tell shifts up to 20 px; the shift of the whole image is measured first."""
    front = PhaseCorrelation(120, 160, 3, 4)
    alone = PhaseCorrelation(120, 160, 3, 4, coarse=False)
    for right, down in ((24.0, 5.0), (-31.0, -12.0), (3.0, 26.0)):
        assert error(front, right, down, noise=2.0).max() < 0.5
        assert error(alone, right, down, noise=2.0).median() > 5


@EVERY
def test_content_without_texture_has_no_confidence(kind: type[Front]) -> None:
    front = kind(120, 160, 3, 4)
    first, second = shifted(2.0, 1.0)
    first[:, :44, :44], second[:, :44, :44] = 90, 90  # a little more than a cell, for gradients at its edge
    confidence_YX = front(first, second)[0, ..., 2]
    assert confidence_YX[0, 0] < 0.01
    assert confidence_YX[1:, 1:].min() > 0.4
    assert front(torch.zeros(1, 120, 160), torch.full((1, 120, 160), 255.0)).abs().max() == 0


@pytest.mark.long
@EVERY
def test_confidence_is_from_0_to_1_and_falls_if_the_scene_changes(kind: type[Front]) -> None:
    front, (first, second) = kind(120, 160, 3, 4), shifted(1.0, 0.0)
    other = shifted(0.0, 0.0, seed=5)[0]
    same, changed = front(first, second)[..., 2], front(first, other)[..., 2]
    for confidence in (same, changed):
        assert confidence.min() >= 0
        assert confidence.max() <= 1
    assert changed.mean() < 0.5 * same.mean()


@EVERY
def test_a_change_of_brightness_is_no_motion(kind: type[Front]) -> None:
    first, second = shifted(1.5, -0.5)
    measured_YX3 = kind(120, 160, 3, 4)(first, second.float() + 15)[0]
    np.testing.assert_allclose(measured_YX3[..., 0].median() * 160, 1.5, atol=0.1)


@EVERY
def test_sizes_that_cannot_be_divided_leave_out_a_margin(kind: type[Front]) -> None:
    plane = texture()
    pair = [shown(plane, moved, -moved, 91, 163)[None] for moved in (0.0, 2.0)]
    measured_YX3 = kind(91, 163, 3, 4)(*pair)[0]
    assert measured_YX3.shape == (3, 4, 3)
    np.testing.assert_allclose(measured_YX3[..., :2].numpy() * 163, np.broadcast_to([2.0, -2.0], (3, 4, 2)), atol=0.3)


@EVERY
def test_cells_that_are_too_small_are_refused(kind: type[Front]) -> None:
    with pytest.raises(ValueError, match="cells of 40 x 11 px in 3 rows and 4 columns"):
        kind(35, 160, 3, 4)


@EVERY
def test_pairs_do_not_influence_each_other(kind: type[Front]) -> None:
    front = kind(120, 160, 3, 4)
    pairs = [shifted(right, 0.5, noise=3.0, seed=seed) for seed, right in enumerate((0.0, 2.0, 25.0))]
    together = front(torch.cat([first for first, _ in pairs]), torch.cat([second for _, second in pairs]))
    for place, pair in enumerate(pairs):
        torch.testing.assert_close(together[place], front(*pair)[0], atol=1e-5, rtol=1e-4)


@EVERY
def test_autocast_changes_nothing(kind: type[Front]) -> None:
    front, pair = kind(120, 160, 3, 4), shifted(1.3, 0.4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = front(*pair)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, front(*pair))


@pytest.mark.long
@EVERY
def test_a_compiled_front_gives_the_same(kind: type[Front]) -> None:
    front, pair = kind(120, 160, 3, 4), shifted(3.0, -1.0)
    compiled = torch.compile(front, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(*pair), front(*pair), atol=1e-5, rtol=1e-4)


class OfPairs(nn.Module):
    """A front on pairs of frames [B, 2, H, W], as inside a network."""

    def __init__(self, front: Front) -> None:
        super().__init__()
        self.front = front

    def forward(self, pair_B2HW: Tensor) -> Tensor:
        measured: Tensor = self.front(pair_B2HW[:, 0], pair_B2HW[:, 1])
        return measured


def pairs_of_frames() -> Tensor:
    """[3, 2, 120, 160] frames that move a little, more, and far."""
    pairs = [shifted(right, 0.3, noise=2.0, seed=seed) for seed, right in enumerate((0.2, 4.0, 22.0))]
    return torch.stack([torch.cat(pair) for pair in pairs]).float()


@pytest.mark.long
@EVERY
def test_a_front_is_one_graph_without_complex_numbers(kind: type[Front]) -> None:
    """The graph is for any number of pairs."""
    module, pair_B2HW = OfPairs(kind(120, 160, 3, 4)).eval(), pairs_of_frames()
    program = torch.export.export(module, (pair_B2HW[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for node in program.graph.nodes:
        value = node.meta.get("val")
        assert not (isinstance(value, Tensor) and value.is_complex()), node
        assert "fft" not in str(node.target), node
        assert "_local_scalar_dense" not in str(node.target), f"{node} would wait for the device"
    torch.testing.assert_close(program.module()(pair_B2HW), module(pair_B2HW))


@pytest.mark.long
@EVERY
def test_onnxruntime_gives_the_same(kind: type[Front], tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    module, pair_B2HW = OfPairs(kind(120, 160, 3, 4)).eval(), pairs_of_frames()
    dynamic = ({0: torch.export.Dim("batch")},)
    program = torch.onnx.export(
        module, (pair_B2HW[:2],), dynamo=True, verbose=False, input_names=["pair"], dynamic_shapes=dynamic
    )
    assert program is not None
    program.save(str(tmp_path / "front.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "front.onnx"), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"pair": pair_B2HW.numpy()})
    np.testing.assert_allclose(found, module(pair_B2HW).numpy(), atol=1e-4)


def test_there_are_two_fronts() -> None:
    assert {"phase": PhaseCorrelation, "gradient": GradientFlow} == FRONTS
