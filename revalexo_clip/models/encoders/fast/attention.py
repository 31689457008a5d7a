"""MViT's attention (Fan et al., 2021, arXiv:2104.11227) without the attention matrix and without unused keys.

PyTorchVideo writes the matrix of all queries and keys to memory. It also projects every token to a key and a value and
then drops most of them: a pooling convolution of kernel 3 and stride 8 reads one position in seven. Here, torch's fused
attention computes the matrix in pieces (Dao et al., 2022, arXiv:2205.14135); on CUDA, in half precision, that is the
flash form. It needs no mask and no bias: the published MViT adds its positions to the patches, and has no relative
positions in its attention, as its successor MViTv2 has. Queries, keys and values reach it with channels of a head
contiguous, which the flash form needs. On a CPU, only the positions that the
pooling reads are projected; in full precision, they are pooled without changing their memory layout, and the gradients
of the three projections are accumulated inside the matrix products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction, once_differentiable

from revalexo_clip.models.encoders.fast.convolution import (
    DepthwiseConv3d,
    are_plain,
    fits,
    suits_cpu_forms,
    suits_own_gradients,
)
from revalexo_clip.models.encoders.fast.pooling import Pooling, is_channels_last, pool_channels_last, pool_tokens

Parameters: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""Weight [C', C] and bias [C'] for queries, for keys, and for values."""


def projected(
    x_BNC: Tensor, asking: int, met_M: Tensor | None, linear: tuple[nn.Linear, nn.Linear, nn.Linear]
) -> tuple[Tensor, Tensor, Tensor]:
    """Project the first A tokens to queries [B, A, C'], and those at `met_M`, or all, to keys and values [B, M, C']."""
    q, k, v = linear
    return _projected(x_BNC, asking, met_M, q.weight, q.bias, k.weight, k.bias, v.weight, v.bias)


class _Projected(torch.autograd.Function):
    """Three linear maps with a joint backward pass. R: tokens of all samples."""

    @staticmethod
    def forward(
        ctx: _Saved, x_BNC: Tensor, asking: int, met_M: Tensor | None, *parameters: Tensor
    ) -> tuple[Tensor, ...]:
        q_CC, q_C, k_CC, k_C, v_CC, v_C = parameters
        x_BAC = x_BNC[:, :asking]
        x_BMC = x_BNC if met_M is None else x_BNC.index_select(1, met_M)
        ctx.save_for_backward(x_BNC, x_BMC, q_CC, k_CC, v_CC)
        ctx.met_M = met_M
        linear = nn.functional.linear
        return linear(x_BAC, q_CC, q_C), linear(x_BMC, k_CC, k_C), linear(x_BMC, v_CC, v_C)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Saved, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x_BNC, x_BMC, q_CC, k_CC, v_CC = cast("tuple[Tensor, ...]", ctx.saved_tensors)
        q_RC, k_RC, v_RC = (grad.flatten(0, 1) for grad in grads)
        asking = grads[0].shape[1]
        needs_x, _, _, *needs = cast("tuple[bool, ...]", ctx.needs_input_grad)
        grad_x_BNC = None
        if needs_x:
            grad_x_BNC = _from_first(torch.mm(q_RC, q_CC), x_BNC, asking)
            if ctx.met_M is None:
                grad_x_BNC.view(-1, x_BNC.shape[2]).addmm_(k_RC, k_CC).addmm_(v_RC, v_CC)
            else:
                grad_x_BNC.index_add_(1, ctx.met_M, torch.mm(k_RC, k_CC).addmm_(v_RC, v_CC).view(x_BMC.shape))
        asking_RC, met_RC = x_BNC[:, :asking].flatten(0, 1), x_BMC.flatten(0, 1)
        gradients: list[Tensor | None] = []
        maps = ((q_RC, asking_RC), (k_RC, met_RC), (v_RC, met_RC))
        for (grad_RC, x_RC), needs_weight, needs_bias in zip(maps, needs[::2], needs[1::2], strict=True):
            gradients.append(torch.mm(grad_RC.T, x_RC) if needs_weight else None)
            gradients.append(grad_RC.sum(0) if needs_bias else None)
        return grad_x_BNC, None, None, *gradients


class _Saved(BackwardCFunction):
    met_M: Tensor | None


def _from_first(grad_RC: Tensor, x_BNC: Tensor, first: int) -> Tensor:
    """Expand gradients [R, C] of the first tokens of every sample to all tokens, with zeros."""
    if first == x_BNC.shape[1]:
        return grad_RC.view(x_BNC.shape)
    grad_x_BNC = x_BNC.new_zeros(x_BNC.shape)
    grad_x_BNC[:, :first] = grad_RC.view(len(x_BNC), first, x_BNC.shape[2])
    return grad_x_BNC


_projected = cast("Callable[..., tuple[Tensor, Tensor, Tensor]]", _Projected.apply)

Tokens: TypeAlias = tuple[Tensor, Sequence[int]]
"""Tokens by head [B, N, h, d], and the positions T, H, W of all tokens except the first."""

_Pooling: TypeAlias = tuple[DepthwiseConv3d | None, nn.LayerNorm | None]
"""A pooling convolution and the norm after it; None if tokens are not pooled."""


class PooledAttention(nn.Module):
    """Replacement of PyTorchVideo's `MultiScaleAttention`, with the same submodules under the same names.

    h: heads, d: channels of a head, N: tokens, first the class token and then T x H x W positions.
    """

    def __init__(self, plain: nn.Module) -> None:
        super().__init__()
        assert plain.has_cls_embed
        assert not plain.pool_first
        assert plain.dropout_rate == 0
        self.heads = cast("int", plain.num_heads)
        self.q, self.k, self.v, self.proj = (_linear(plain, name) for name in ("q", "k", "v", "proj"))
        assert all(each.bias is not None for each in (self.q, self.k, self.v))
        self.pool_q, self.norm_q = _pooling(plain, "q")
        self.pool_k, self.norm_k = _pooling(plain, "k")
        self.pool_v, self.norm_v = _pooling(plain, "v")

    def forward(self, x_BNC: Tensor, thw: Sequence[int], *, only_class: bool = False) -> tuple[Tensor, list[int]]:
        """Attend: tokens [B, N, C] with positions `thw` -> [B, N', C] and the positions of the pooled queries.

        With `only_class`, which requires that queries are not pooled, the class token is the only query: [B, 1, C].
        """
        own = suits_own_gradients(x_BNC) and are_plain(self.q, self.k, self.v)
        met = self._met(thw) if suits_cpu_forms(x_BNC) else None
        asking = 1 if only_class else x_BNC.shape[1]
        if own:
            q_BNC, k_BNC, v_BNC = projected(x_BNC, asking, met and met.index_M, (self.q, self.k, self.v))
        else:
            met_BNC = x_BNC if met is None else x_BNC.index_select(1, met.index_M)
            q_BNC, k_BNC, v_BNC = self.q(x_BNC[:, :asking]), self.k(met_BNC), self.v(met_BNC)
        q_BNhd, places = self._pooled(q_BNC, thw, (self.pool_q, self.norm_q), None, own=own)
        k_BNhd, _ = self._pooled(k_BNC, thw, (self.pool_k, self.norm_k), met, own=own)
        v_BNhd, _ = self._pooled(v_BNC, thw, (self.pool_v, self.norm_v), met, own=own)
        q_BhNd, k_BhNd, v_BhNd = (tokens.transpose(1, 2) for tokens in (q_BNhd, k_BNhd, v_BNhd))
        y_BhNd = nn.functional.scaled_dot_product_attention(q_BhNd, k_BhNd, v_BhNd)
        return self.proj(y_BhNd.transpose(1, 2).flatten(2)), list(places)

    def _met(self, thw: Sequence[int]) -> _Met | None:
        """Return the tokens that the pooling of keys and values reads; None if it reads all."""
        if self.pool_k is None or self.pool_v is None:
            return None
        stride, kernel = self.pool_k.stride[1:], self.pool_k.kernel_size[1:]
        same = (self.pool_v.stride[1:], self.pool_v.kernel_size[1:]) == (stride, kernel)
        skips = same and stride[0] == stride[1] > 3 and kernel == (3, 3) and tuple(self.pool_k.padding[1:]) == (1, 1)
        return _met_by_pooling(thw, stride[0]) if skips else None

    def _pooled(
        self, tokens_BNC: Tensor, thw: Sequence[int], pooling: _Pooling, met: _Met | None, *, own: bool
    ) -> Tokens:
        pool, norm = pooling
        if pool is None or norm is None:
            return self._heads(tokens_BNC), thw
        (frames, height, width), (down, across) = (thw, pool.stride[1:]) if met is None else (met.thw, met.stride)
        if own:
            _, *padding = cast("tuple[int, ...]", pool.padding)
            strides = Pooling((frames, height, width), (down, across), (padding[0], padding[1]))
            pooled_BNC, places = pool_tokens(tokens_BNC, pool, self.heads, strides)
            return norm(self._heads(pooled_BNC)), places
        class_B1C, grid_BTHWC = class_and_places(tokens_BNC, (frames, height, width))
        if is_channels_last(pool.weight) and not suits_cpu_forms(tokens_BNC):
            pooled_BTHWC = pool_channels_last(grid_BTHWC, pool, self.heads)
            joined_BNC = torch.cat((class_B1C, pooled_BTHWC.flatten(1, 3)), dim=1)
            return norm(self._heads(joined_BNC)), pooled_BTHWC.shape[1:4]
        class_B1hd, grid_BTHWhd = map(self._heads, (class_B1C, grid_BTHWC))
        maps = grid_BTHWhd.permute(0, 4, 5, 1, 2, 3).flatten(0, 1)  # [B h, d, T, H, W]
        maps = pool(maps) if met is None else pool.in_2d(maps, met.stride)
        pooled_BNhd = maps.unflatten(0, (-1, self.heads)).permute(0, 3, 4, 5, 1, 2).flatten(1, 3)
        return norm(torch.cat((class_B1hd, pooled_BNhd), dim=1)), maps.shape[2:]

    def _heads(self, tokens: Tensor) -> Tensor:
        return tokens.reshape(*tokens.shape[:-1], self.heads, tokens.shape[-1] // self.heads)


def class_and_places(tokens_BNC: Tensor, thw: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Split tokens into [B, 1, C] and [B, T, H, W, C] in one step, so that gradients are joined in one step too."""
    class_B1C, places_BNC = torch.split_with_sizes(tokens_BNC, (1, tokens_BNC.shape[1] - 1), dim=1)
    return class_B1C, places_BNC.reshape(len(tokens_BNC), *thw, *tokens_BNC.shape[2:])


class _Met(NamedTuple):
    """The tokens that a pooling reads, gathered without the others."""

    index_M: Tensor
    """Their indices, the class token first."""
    thw: tuple[int, int, int]
    """Their positions after gathering."""
    stride: tuple[int, int]
    """Stride with which the same kernel and padding read the gathered tokens."""


def _met_by_pooling(thw: Sequence[int], stride: int) -> _Met:
    """Select the positions that a kernel of 3 with a padding of 1 reads at a stride above 3."""
    frames, *size = thw
    down, across = (torch.tensor([place for place in range(side) if (place + 1) % stride < 3]) for side in size)
    place_THW = (torch.arange(frames)[:, None, None] * size[0] + down[:, None]) * size[1] + across
    index_M = torch.cat((torch.tensor([0]), 1 + place_THW.flatten()))
    return _Met(index_M, (frames, len(down), len(across)), (3, 3))


def _linear(plain: nn.Module, name: str) -> nn.Linear:
    return cast("nn.Linear", plain.get_submodule(name))


def _pooling(plain: nn.Module, of: str) -> _Pooling:
    pool = getattr(plain, f"pool_{of}")
    if pool is None:
        return None, None
    assert isinstance(pool, nn.Conv3d)
    assert fits(pool)
    assert pool.bias is None
    pool.__class__ = DepthwiseConv3d
    return cast("DepthwiseConv3d", pool), cast("nn.LayerNorm", plain.get_submodule(f"norm_{of}"))
