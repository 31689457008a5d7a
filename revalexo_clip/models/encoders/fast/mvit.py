"""Faster MViT blocks (Fan et al., 2021, arXiv:2104.11227) with the outputs and weight names of PyTorchVideo's blocks.

They skip tokens that an encoder does not use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from revalexo_clip.models.encoders.fast.attention import PooledAttention, class_and_places
from revalexo_clip.models.encoders.fast.convolution import suits_cpu_forms
from revalexo_clip.models.encoders.fast.mlp import RecomputedMlp


class MultiscaleBlock(nn.Module):
    """Replacement of PyTorchVideo's `MultiScaleBlock`, with the same submodules under the same names.

    An encoder uses only the class token of the last block. With `only_class`, all other tokens serve as keys and values
    only: they are not queries and skip the two-layer network. `only_class` is ignored if the block pools its queries,
    because the pooling's weights would get no gradient.
    """

    def __init__(self, plain: nn.Module, *, only_class: bool = False) -> None:
        super().__init__()
        self.norm1 = plain.get_submodule("norm1")
        self.attn = PooledAttention(plain.get_submodule("attn"))
        self.only_class = only_class and self.attn.pool_q is None
        self.drop_path = plain.get_submodule("drop_path")
        self.norm2 = plain.get_submodule("norm2")
        self.mlp = RecomputedMlp(plain.get_submodule("mlp"))
        self.proj = cast("nn.Module | None", getattr(plain, "proj", None))
        self.pool_skip = cast("nn.MaxPool3d | None", plain.pool_skip)

    def forward(self, x_BNC: Tensor, thw: Sequence[int]) -> tuple[Tensor, list[int]]:
        """Apply the block: tokens [B, N, C] with positions `thw` -> [B, N', C'] and their positions."""
        attended, places = self.attn(self.norm1(x_BNC), thw, only_class=self.only_class)
        x_BNC = self._shortcut(x_BNC, thw) + self.drop_path(attended)
        normed = self.norm2(x_BNC)
        x_BNC = x_BNC if self.proj is None else self.proj(normed)
        return x_BNC + self.drop_path(self.mlp(normed)), places

    def _shortcut(self, x_BNC: Tensor, thw: Sequence[int]) -> Tensor:
        if self.only_class:
            return x_BNC[:, :1]
        if self.pool_skip is None:
            return x_BNC
        class_B1C, grid_BTHWC = class_and_places(x_BNC, thw)
        return torch.cat((class_B1C, pooled(self.pool_skip, grid_BTHWC).flatten(1, 3)), dim=1)


def pooled(pool: nn.MaxPool3d, grid_BTHWC: Tensor) -> Tensor:
    """Pool [B, T, H, W, C] to [B, T', H', W', C]; on a CPU frame by frame, without a copy into another layout."""
    kernel, stride, padding = (cast("list[int]", each) for each in (pool.kernel_size, pool.stride, pool.padding))
    if not suits_cpu_forms(grid_BTHWC) or kernel[0] != 1 or stride[0] != 1:
        maps: Tensor = pool(grid_BTHWC.permute(0, 4, 1, 2, 3))
        return maps.permute(0, 2, 3, 4, 1)
    frames = grid_BTHWC.flatten(0, 1).permute(0, 3, 1, 2)
    maps = nn.functional.max_pool2d(frames, kernel[1:], stride[1:], padding[1:]).permute(0, 2, 3, 1)
    return maps.view(*grid_BTHWC.shape[:2], *maps.shape[1:])


def speed_up(model: nn.Module) -> None:
    """Replace every block of `model` by its fast form. State dicts do not change.

    The model's head must select the class token, as MViT's does, because the last block computes nothing else.
    """
    blocks = model.get_submodule("blocks")
    assert isinstance(blocks, nn.ModuleList)
    for place, block in enumerate(blocks):
        blocks[place] = MultiscaleBlock(block, only_class=place == len(blocks) - 1)
