from __future__ import annotations

from functools import partial

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec, MotionSpec, VideoSpec
from revalexo_clip.models.dual_encoder import video_inputs
from revalexo_clip.models.encoders import (
    X3D,
    AttentionPooled,
    DeepConvLSTM,
    GRUOverMaps,
    ImuEncoder,
    MotionTower,
    MViT,
    PatchTransformer,
    ResNet1D,
    SpectralAttention,
    StackedConvGRU,
    VideoEncoder,
)
from revalexo_clip.models.encoders.base import Encoder
from revalexo_clip.models.layers import Dropout

IMU = ImuSpec(("acc_x", "acc_y"), ("m/s^2", "m/s^2"), rate=60.0, window=2.0)
VIDEO = VideoSpec(frames=2, crop=32, short_side=32, window=2.0, motion=MotionSpec(30.0, 2.0, rows=2, columns=3))


def built(encoder: Encoder) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """An encoder's module, and windows for it."""
    if isinstance(encoder, ImuEncoder):
        return encoder.build(IMU, 4), (torch.randn(2, 120, 2),)
    assert isinstance(encoder, VideoEncoder)
    module = encoder.build(VIDEO, 4)
    return module, video_inputs(module, torch.randn(2, 3, 2, 32, 32), torch.rand(2, 60, 2, 3, 3))


ENCODERS = [
    (DeepConvLSTM(maps=2, hidden=3), 6),
    (DeepConvLSTM(maps=2, hidden=3, layers=2, projector=False), 5),
    (SpectralAttention(width=8), 4),
    (ResNet1D(width=8), 5),
    (StackedConvGRU(width=4, hidden=3), 4),
    (GRUOverMaps(width=4, kernels=(5, 3, 3), length=2, last_pooling="mean", hidden=3, head=True), 5),
    (GRUOverMaps(width=4, kernels=(3, 2), length=12, hidden=3), 3),
    (AttentionPooled(width=4), 2),
    (PatchTransformer(width=8, depth=2), 4),
    (MotionTower(width=8, readout="attention"), 5),
    (X3D(weights=None), 7),
    (MViT(weights=None), 18),
]
IDS = [
    "DeepConvLSTM",
    "DeepConvLSTM without projector",
    "SpectralAttention",
    "ResNet1D",
    "StackedConvGRU",
    "GRUOverMaps with head",
    "GRUOverMaps",
    "AttentionPooled",
    "PatchTransformer",
    "MotionTower",
    "X3D",
    "MViT",
]


@pytest.mark.parametrize(("encoder", "count"), ENCODERS, ids=IDS)
def test_blocks_are_all_of_an_encoder_and_share_nothing(encoder: Encoder, count: int) -> None:
    module, _ = built(encoder)
    blocks = encoder.blocks(module)
    assert len(blocks) == count
    inside = [parameter for block in blocks for parameter in block.parameters()]
    assert sorted(map(id, inside)) == sorted(map(id, module.parameters()))
    dropout = {part for part in module.modules() if isinstance(part, Dropout)}
    assert dropout <= {part for block in blocks for part in block.modules()}


@pytest.mark.parametrize(("encoder", "count"), ENCODERS, ids=IDS)
def test_blocks_come_in_the_order_in_which_a_window_passes_them(encoder: Encoder, count: int) -> None:
    module, windows = built(encoder)
    passed: list[int] = []
    for number, block in enumerate(encoder.blocks(module)):
        for part in block.modules():
            part.register_forward_hook(partial(lambda number, *_: passed.append(number), number))
    module(*windows)
    assert passed == sorted(passed)
    assert set(passed) == set(range(count))


class Plain(ImuEncoder):
    """An encoder that does not override `blocks`."""

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(240, embed_dim), nn.ReLU())


def test_an_encoder_that_names_no_blocks_is_a_single_one() -> None:
    module, _ = built(Plain())
    assert Plain(frozen=0).frozen_blocks(module) == []
    assert Plain(frozen=1).frozen_blocks(module) == Plain(frozen="all").frozen_blocks(module) == [module]
    with pytest.raises(ConfigError, match="Plain: frozen is 2, but the encoder has a single block"):
        Plain(frozen=2).frozen_blocks(module)


def test_more_blocks_than_there_are_cannot_be_frozen() -> None:
    module, _ = built(DeepConvLSTM(maps=2, hidden=3))
    assert DeepConvLSTM(frozen=6).frozen_blocks(module) == list(module.children())
    with pytest.raises(ConfigError, match="DeepConvLSTM: frozen is 7, but the encoder has 6 blocks"):
        DeepConvLSTM(frozen=7).frozen_blocks(module)


@pytest.mark.parametrize("frozen", [True, False, -1, "some", 1.5])
def test_frozen_accepts_only_a_number_or_all(frozen: object) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        DeepConvLSTM.model_validate({"frozen": frozen})
