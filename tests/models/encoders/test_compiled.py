"""torch.compile holds for all encoders: the same outputs and gradients, in one graph wherever torch can."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator

import pytest
import torch
import torch._dynamo
from torch import Tensor, nn
from torch._dynamo.utils import counters

from revalexo_clip.core.types import ImuSpec, MotionSpec, VideoSpec
from revalexo_clip.models.encoders import X3D, DeepConvLSTM, MotionTower, MViT, ResNet1D, SpectralAttention
from revalexo_clip.models.encoders.base import ImuEncoder, VideoEncoder
from revalexo_clip.models.encoders.mvit import MViTNet
from revalexo_clip.models.layers import one_step
from revalexo_clip.models.sequence import SequenceNet

needs_a_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler"
)
IMU = ImuSpec(tuple(f"acc_{axis}" for axis in "xyz"), ("m/s^2",) * 3, rate=60.0, window=2.0)
VIDEO = VideoSpec(frames=2, crop=32, short_side=32, window=2.0, motion=MotionSpec(30.0, 2.0, rows=2, columns=3))
BATCH = 2

Built = tuple[nn.Module, tuple[Tensor, ...]]
"""An encoder, and its input."""


ENCODERS: dict[str, ImuEncoder | VideoEncoder] = {
    "X3D": X3D(weights=None, dropout=0),
    "MViT": MViT(weights=None, dropout=0),
    "MotionTower": MotionTower(width=8, dropout=0),
    "MotionTower with colour": MotionTower(width=8, dropout=0, color="sequence", color_width=4),
    "ResNet1D": ResNet1D(width=8, pooled_width=8, dropout=0),
    "SpectralAttention": SpectralAttention(width=8, dropout=0, pooled_dropout=0),
    "DeepConvLSTM": DeepConvLSTM(maps=4, hidden=8),
}


def built(name: str, *, quick: bool = False) -> Built:
    encoder = ENCODERS[name]
    if isinstance(encoder, ImuEncoder):
        return encoder.build(IMU, 4), (torch.randn(BATCH, 120, 3),)
    frames_B3THW, motion_BMYX3 = torch.randn(BATCH, 3, 2, 32, 32), torch.rand(BATCH, 60, 2, 3, 3)
    module = encoder.build(VIDEO, 4)
    shorten(module, quick=quick)
    return module, (frames_B3THW, *([motion_BMYX3] if encoder.takes_motion else []))


def shorten(module: nn.Module, *, quick: bool) -> None:
    """Leave one block of each kind in X3D and MViT, which otherwise take minutes to compile.

    Blocks of X3D differ in their stride and in having squeeze and excitation, which the second block of a stage lacks;
    those of MViT in their width, in what they pool, and in what the last one leaves out. `quick` keeps of the latter
    only one that pools and not the last.
    """
    stages = [of for of in module.modules() if hasattr(of, "res_blocks")]
    for number, of in enumerate(stages):
        blocks = list(of.get_submodule("res_blocks").children())
        of.res_blocks = nn.ModuleList(blocks[: 1 if number else 2])
    if isinstance(module, MViTNet):
        blocks = list(module.backbone.get_submodule("blocks").children())
        kept = (0, 2, 13, 14) if quick else (0, 1, 2, 13, 14, 15)
        module.backbone.blocks = nn.ModuleList(blocks[place] for place in kept)


WHOLE = [name for name in ENCODERS if name != "DeepConvLSTM"]
SLOW_TO_COMPILE = ("X3D", "MotionTower with colour")
"""They take inductor minutes, for the same kinds of layers as the others. That they are one graph is tested."""


@pytest.fixture(autouse=True)
def _nothing_is_compiled_yet() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def outcome(module: nn.Module, inputs: tuple[Tensor, ...], *, sequence: bool) -> list[Tensor]:
    """Return what an encoder gives in training, and all gradients."""
    if sequence:
        assert isinstance(module, SequenceNet)
        encoded = module.sequence(*inputs)
        outputs = [encoded.features_BF, encoded.sequence_BTE]
    else:
        outputs = [module(*inputs)]
    torch.autograd.backward(torch.stack([output.square().mean() for output in outputs]).sum())
    gradients = (torch.zeros(()) if weight.grad is None else weight.grad for weight in module.parameters())
    return [*(output.detach() for output in outputs), *gradients]


def assert_compiles(name: str, *, backend: str, sequence: bool) -> None:
    """Compile an encoder as one graph, and compare it with the same encoder in eager mode."""
    module, inputs = built(name, quick=backend == "inductor")
    eager = copy.deepcopy(module)
    module.compile(fullgraph=True, backend=backend)
    got, want = outcome(module, inputs, sequence=sequence), outcome(eager, inputs, sequence=sequence)
    for one, other in zip(got, want, strict=True):
        scale = float(other.abs().max().clamp(min=1e-3))
        assert float((one - other).abs().max()) < 1e-3 * scale
    assert not counters["graph_break"]


@pytest.mark.long
@pytest.mark.parametrize("name", WHOLE)
def test_an_encoder_is_one_graph(name: str) -> None:
    assert_compiles(name, backend="aot_eager", sequence=True)


@pytest.mark.long
@needs_a_compiler
@pytest.mark.parametrize("name", [name for name in WHOLE if name not in SLOW_TO_COMPILE])
def test_a_compiled_encoder_computes_the_same(name: str) -> None:
    assert_compiles(name, backend="inductor", sequence=False)


@pytest.mark.long
def test_a_recurrent_encoder_is_divided_at_its_lstm_alone() -> None:
    module, inputs = built("DeepConvLSTM")
    module.compile(backend="aot_eager")
    with one_step(seed=0, number=0, batch_size=BATCH):
        module(*inputs).sum().backward()
    reasons = " ".join(counters["graph_break"])
    assert "LSTM" in reasons


@pytest.mark.long
def test_in_a_training_step_a_graph_is_divided_at_dropout_alone() -> None:
    """Its mask depends on the number of the step: a graph would be compiled anew for each."""
    encoder = ResNet1D(width=8, dropout=0.5).build(IMU, 4)
    encoder.compile(backend="aot_eager")
    with one_step(seed=0, number=0, batch_size=BATCH):
        encoder(torch.randn(BATCH, 120, 3)).sum().backward()
    assert len(counters["graph_break"]) == 1
    assert "torch.compiler.disable" in next(iter(counters["graph_break"]))
