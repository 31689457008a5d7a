"""MViT's attention (Fan et al., 2021, arXiv:2104.11227) without its attention matrix, and without unused keys.

PyTorchVideo writes the matrix of all queries and keys to memory, and projects every token to a key and a value before
most of them are dropped: a pooling convolution of kernel 3 and stride 8 meets one place in seven. Here torch's fused
attention keeps the matrix in pieces (Dao et al., 2022, arXiv:2205.14135), and on a CPU only the places that the
pooling meets are projected, and pooled by the fast depthwise convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from revalexo_clip.encoders.depthwise import DepthwiseConv3d, fits
from revalexo_clip.encoders.forms import suits_cpu_forms


class PooledAttention(nn.Module):
    """Takes the place of PyTorchVideo's `MultiScaleAttention`, with its submodules under their names.

    h: heads, d: channels of a head, N: tokens, the class token first and then T x H x W places.
    """

    def __init__(self, plain: nn.Module) -> None:
        super().__init__()
        assert plain.has_cls_embed
        assert not plain.pool_first
        assert plain.dropout_rate == 0
        self.heads = cast("int", plain.num_heads)
        self.q, self.k, self.v, self.proj = (_linear(plain, name) for name in ("q", "k", "v", "proj"))
        self.pool_q, self.norm_q = _pooling(plain, "q")
        self.pool_k, self.norm_k = _pooling(plain, "k")
        self.pool_v, self.norm_v = _pooling(plain, "v")

    def forward(self, x_BNC: Tensor, thw: Sequence[int], *, only_class: bool = False) -> tuple[Tensor, list[int]]:
        """Tokens [B, N, C] of places `thw` -> [B, N', C] and the places that pooled queries stand for.

        `only_class`, where queries are not pooled, asks on behalf of the class token alone: [B, 1, C].
        """
        asking_BNC = x_BNC[:, :1] if only_class else x_BNC
        q_BNhd, places = self._pooled(self.q(asking_BNC), thw, self.pool_q, self.norm_q)
        stride = None
        if self._passes_places_over(x_BNC):
            x_BNC, thw, stride = _met_by_pooling(x_BNC, thw, cast("DepthwiseConv3d", self.pool_k).stride[1])
        k_BNhd, _ = self._pooled(self.k(x_BNC), thw, self.pool_k, self.norm_k, stride)
        v_BNhd, _ = self._pooled(self.v(x_BNC), thw, self.pool_v, self.norm_v, stride)
        q_BhNd, k_BhNd, v_BhNd = (tokens.transpose(1, 2) for tokens in (q_BNhd, k_BNhd, v_BNhd))
        y_BhNd = nn.functional.scaled_dot_product_attention(q_BhNd, k_BhNd, v_BhNd)
        return self.proj(y_BhNd.transpose(1, 2).flatten(2)), places

    def _pooled(
        self,
        tokens_BNC: Tensor,
        thw: Sequence[int],
        pool: DepthwiseConv3d | None,
        norm: nn.Module | None,
        stride: tuple[int, int] | None = None,
    ) -> tuple[Tensor, list[int]]:
        if pool is None or norm is None:
            return self._heads(tokens_BNC), list(thw)
        class_B1hd, grid_BTHWhd = (self._heads(part) for part in class_and_places(tokens_BNC, thw))
        maps = grid_BTHWhd.permute(0, 4, 5, 1, 2, 3).flatten(0, 1)  # [B h, d, T, H, W]
        pooled = pool(maps) if stride is None else pool.in_2d(maps, stride)
        pooled_BNhd = pooled.unflatten(0, (-1, self.heads)).permute(0, 3, 4, 5, 1, 2).flatten(1, 3)
        return norm(torch.cat((class_B1hd, pooled_BNhd), dim=1)), list(pooled.shape[2:])

    def _heads(self, tokens: Tensor) -> Tensor:
        return tokens.reshape(*tokens.shape[:-1], self.heads, tokens.shape[-1] // self.heads)

    def _passes_places_over(self, x_BNC: Tensor) -> bool:
        if not suits_cpu_forms(x_BNC) or self.pool_k is None or self.pool_v is None:
            return False
        stride, kernel = self.pool_k.stride[1:], self.pool_k.kernel_size[1:]
        same = (self.pool_v.stride[1:], self.pool_v.kernel_size[1:]) == (stride, kernel)
        return same and stride[0] == stride[1] > 3 and kernel == (3, 3) and tuple(self.pool_k.padding[1:]) == (1, 1)


def class_and_places(tokens_BNC: Tensor, thw: Sequence[int]) -> tuple[Tensor, Tensor]:
    """[B, 1, C] and [B, T, H, W, C], in one step, so that their gradients are put together in one."""
    class_B1C, places_BNC = torch.split_with_sizes(tokens_BNC, (1, tokens_BNC.shape[1] - 1), dim=1)
    return class_B1C, places_BNC.reshape(len(tokens_BNC), *thw, *tokens_BNC.shape[2:])


def _met_by_pooling(x_BNC: Tensor, thw: Sequence[int], stride: int) -> tuple[Tensor, list[int], tuple[int, int]]:
    """The tokens whose places a kernel of 3 with a padding of 1 meets at a stride above 3, moved together.

    Returns them, the places they now have, and the stride at which the same kernel with the same padding meets them
    again.
    """
    class_B1C, grid_BTHWC = class_and_places(x_BNC, thw)
    for axis in (2, 3):
        met = [place for place in range(grid_BTHWC.shape[axis]) if (place + 1) % stride < 3]
        grid_BTHWC = grid_BTHWC.index_select(axis, torch.tensor(met))
    met_BNC = torch.cat((class_B1C, grid_BTHWC.flatten(1, 3)), dim=1)
    return met_BNC, list(grid_BTHWC.shape[1:4]), (3, 3)


def _linear(plain: nn.Module, name: str) -> nn.Linear:
    return cast("nn.Linear", plain.get_submodule(name))


def _pooling(plain: nn.Module, of: str) -> tuple[DepthwiseConv3d | None, nn.LayerNorm | None]:
    pool = getattr(plain, f"pool_{of}")
    if pool is None:
        return None, None
    assert isinstance(pool, nn.Conv3d)
    assert fits(pool)
    pool.__class__ = DepthwiseConv3d
    return cast("DepthwiseConv3d", pool), cast("nn.LayerNorm", plain.get_submodule(f"norm_{of}"))
