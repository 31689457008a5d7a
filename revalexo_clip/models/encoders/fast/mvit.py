"""A block of MViT (Fan et al., 2021, arXiv:2104.11227) that computes what is asked of it and no more.

MViT in forms that are faster than PyTorchVideo's and equal to them, with the same weights under the same names.
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
    """Takes the place of PyTorchVideo's `MultiScaleBlock`, with its submodules under their names.

    Of the last block an encoder uses the class token alone. With `only_class` all other tokens are keys and values
    there, and neither ask nor go through the two-layer network. It is left undone where the block pools its queries,
    as the pooling's weights would go without a gradient.
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
        """Tokens [B, N, C] of places `thw` -> [B, N', C'] and the places that these stand for."""
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
    """[B, T, H, W, C] -> [B, T', H', W', C]; on a CPU frame by frame, where the layout can stay as it is."""
    kernel, stride, padding = (cast("list[int]", each) for each in (pool.kernel_size, pool.stride, pool.padding))
    if not suits_cpu_forms(grid_BTHWC) or kernel[0] != 1 or stride[0] != 1:
        maps: Tensor = pool(grid_BTHWC.permute(0, 4, 1, 2, 3))
        return maps.permute(0, 2, 3, 4, 1)
    frames = grid_BTHWC.flatten(0, 1).permute(0, 3, 1, 2)
    maps = nn.functional.max_pool2d(frames, kernel[1:], stride[1:], padding[1:]).permute(0, 2, 3, 1)
    return maps.view(*grid_BTHWC.shape[:2], *maps.shape[1:])


def speed_up(model: nn.Module) -> None:
    """Give every block of `model` its fast form; state dicts stay what they are.

    The model's head must pick the class token, as MViT's does: the last block computes nothing else.
    """
    blocks = model.get_submodule("blocks")
    assert isinstance(blocks, nn.ModuleList)
    for place, block in enumerate(blocks):
        blocks[place] = MultiscaleBlock(block, only_class=place == len(blocks) - 1)
